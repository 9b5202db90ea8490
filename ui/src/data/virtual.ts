/** Long lists: only the rows in sight are in the document, between two spaces as high as the others would be. */
import {
  html,
  nothing,
  type ReactiveController,
  type ReactiveControllerHost,
  type TemplateResult,
} from 'lit';
import { repeat } from 'lit/directives/repeat.js';

/** Rows on each side that are there before they are seen. */
const AHEAD = 24;
/** A list that is not longer is shown whole. */
const WHOLE = 120;
const ROW_HEIGHT = 43;

export interface Span {
  /** Index of the first row that is shown, and the one behind the last. */
  first: number;
  last: number;
  /** Pixels of the spaces. */
  before: number;
  after: number;
}

/** `top`: how far the upper edge of what is seen is below the list's; negative while the list begins below that edge. */
export function spanOf(count: number, rowHeight: number, top: number, height: number): Span {
  if (count <= WHOLE) return { first: 0, last: count, before: 0, after: 0 };
  const seen = Math.ceil(height / rowHeight) + 2 * AHEAD;
  const first = Math.max(0, Math.min(Math.floor(top / rowHeight) - AHEAD, count - seen));
  const last = Math.min(count, first + seen);
  return { first, last, before: first * rowHeight, after: (count - last) * rowHeight };
}

/** A row of a table as high as those that are not there. */
function space(pixels: number) {
  return pixels
    ? html`<tr aria-hidden="true">
        <td colspan="9" .style=${`height: ${pixels}px; padding: 0; border: 0`}></td>
      </tr>`
    : nothing;
}

/**
 * `body` gives the element whose children are the rows, each with the attribute `data-row`. `more` is called whenever somebody who scrolls has
 * nearly reached the end: read on, if there is more.
 */
export class Virtual implements ReactiveController {
  private rowHeight = ROW_HEIGHT;
  private scroller: HTMLElement | undefined;
  private shown: Span = { first: 0, last: 0, before: 0, after: 0 };
  private readonly look = () => {
    const { first, last } = this.shown;
    const now = this.span(this.count);
    if (now.first !== first || now.last !== last) this.host.requestUpdate();
    this.readOn();
  };
  private count = 0;

  constructor(
    private readonly host: ReactiveControllerHost & HTMLElement,
    private readonly body: () => HTMLElement | null,
    private readonly more: () => void = () => undefined,
  ) {
    host.addController(this);
  }

  /** What stands in the table's body: `row` makes one, which has the attribute `data-row` and its place as `aria-rowindex`. */
  rows<Row extends { id: number }>(items: readonly Row[], row: (item: Row, place: number) => TemplateResult) {
    const { first, last, before, after } = this.span(items.length);
    // The head of the table is its first row.
    const shown = repeat(
      items.slice(first, last),
      item => item.id,
      (item, at) => row(item, first + at + 2),
    );
    return html`${space(before)} ${shown} ${space(after)}`;
  }

  /** What to show of so many rows. */
  private span(count: number): Span {
    this.count = count;
    const body = this.body();
    const [edge, height] = this.scroller
      ? [this.scroller.getBoundingClientRect().top, this.scroller.clientHeight]
      : [0, window.innerHeight];
    const top = body ? edge - body.getBoundingClientRect().top : 0;
    this.shown = spanOf(count, this.rowHeight, top, height);
    return this.shown;
  }

  hostUpdated(): void {
    this.listen();
    this.readOn();
    const rows = this.body()?.querySelectorAll<HTMLElement>('[data-row]');
    const [first, last] = [rows?.item(0), rows?.item((rows.length || 1) - 1)];
    if (!rows?.length || !first || !last) return;
    const height = (last.getBoundingClientRect().bottom - first.getBoundingClientRect().top) / rows.length;
    // Rows differ by a line of explanation: what is not seen is as high as the others are on average.
    if (height > 0 && Math.abs(height - this.rowHeight) > 0.5) {
      this.rowHeight = height;
      this.look();
    }
  }

  private readOn(): void {
    const { scroller } = this;
    if (!scroller || scroller.scrollTop === 0) return;
    const below = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight;
    if (below < AHEAD * this.rowHeight) this.more();
  }

  hostDisconnected(): void {
    this.scroller?.removeEventListener('scroll', this.look);
    this.scroller = undefined;
  }

  private listen(): void {
    if (this.scroller) return;
    this.scroller = scrollerOf(this.host);
    this.scroller?.addEventListener('scroll', this.look, { passive: true });
  }
}

/** The nearest element around `element` that scrolls, through the roots of elements. */
function scrollerOf(element: HTMLElement): HTMLElement | undefined {
  let at: Node | null = element;
  while (at) {
    if (at instanceof HTMLElement && /auto|scroll/.test(getComputedStyle(at).overflowY)) return at;
    at = at instanceof ShadowRoot ? at.host : ((at as HTMLElement).assignedSlot ?? at.parentNode);
  }
  return undefined;
}
