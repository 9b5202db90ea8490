import type { ReactiveController, ReactiveControllerHost } from 'lit';

import type { Live, Source } from './live.js';
import type { Store } from './store.js';

/** Between two renderings: a thousand changes a second are ten. */
const RENDER_MS = 100;

/** Keeps the sources of a page up to date while the page is shown, and renders it when they change. */
export class Keep implements ReactiveController {
  private stops: (() => void)[] = [];
  private renderedAt = -Infinity;
  private later: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly host: ReactiveControllerHost) {
    host.addController(this);
  }

  /** From here on these, and no others. */
  set(live: Live, sources: readonly (Source & Store)[]): void {
    this.hostDisconnected();
    for (const source of sources) {
      this.stops.push(
        source.subscribe(() => {
          this.changed();
        }),
        live.add(source),
      );
    }
  }

  private changed(): void {
    const left = this.renderedAt + RENDER_MS - performance.now();
    if (left <= 0) this.render();
    else
      this.later ??= setTimeout(() => {
        this.render();
      }, left);
  }

  private render(): void {
    clearTimeout(this.later);
    this.later = undefined;
    this.renderedAt = performance.now();
    this.host.requestUpdate();
  }

  hostDisconnected(): void {
    clearTimeout(this.later);
    this.later = undefined;
    for (const stop of this.stops) stop();
    this.stops = [];
  }
}
