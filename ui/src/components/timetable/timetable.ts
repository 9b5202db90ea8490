import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { keyed } from 'lit/directives/keyed.js';

import type { TimetableEntry } from '../../api/types.js';
import { MIB } from '../../data/format.js';
import { textOf } from '../../data/form.js';
import { here } from '../../data/zone.js';
import { base, controls, forms } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { zones } from '../fields/fields.js';
import { icon } from '../icon/icon.js';

const words = texts.timetable;
const ENTRIES_MAX = 100;
const DAYS: readonly TimetableEntry['days'][number][] = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'];

/**
 * Limits by the hour of the week, to be changed. `entries` is what it begins with, `reset` goes back to them, `value` is what people made of
 * them; null when something is missing, which the form then points at.
 */
@customElement('ff-timetable')
export class FfTimetable extends LitElement {
  static override styles = [
    base,
    controls,
    forms,
    css`
      ul {
        display: grid;
        gap: var(--space-3);
        margin: 0;
        padding: 0;
        list-style: none;
      }
      li {
        padding: var(--space-3);
        border: 1px solid var(--line);
        border-radius: var(--radius);
      }
      fieldset {
        display: flex;
        flex-wrap: wrap;
        gap: var(--space-1) var(--space-3);
        margin: 0 0 var(--space-3);
        padding: 0;
        border: 0;
      }
      legend {
        padding: 0;
        font-size: var(--size-small);
      }
      .row {
        display: flex;
        flex-wrap: wrap;
        gap: var(--space-3);
        align-items: end;
      }
      .row label {
        flex: 1 1 6rem;
      }
      .row button {
        height: 36px;
      }
      .none {
        margin-bottom: var(--space-3);
        color: var(--text-dim);
        font-size: var(--size-small);
      }
      .add {
        margin-top: var(--space-3);
      }
    `,
  ];

  /** Read again without a change, it leaves alone what is being typed. */
  @property({ attribute: false, hasChanged: (one, other) => JSON.stringify(one) !== JSON.stringify(other) })
  entries: readonly TimetableEntry[] = [];

  @state() private rows: readonly TimetableEntry[] = [];
  @query('form') private readonly form!: HTMLFormElement;
  /** Inputs that were typed into do not take other defaults: new rows get new ones. */
  private round = 0;

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.has('entries')) this.reset();
  }

  override render() {
    return html`<form @submit=${this.stay} @change=${this.checkDays}>
      ${
        this.rows.length
          ? keyed(
              this.round,
              html`<ul>
                ${this.rows.map((row, place) => this.row(row, place))}
              </ul>`,
            )
          : html`<p class="none">${words.none}</p>`
      }
      <button type="button" class="add" ?disabled=${this.rows.length >= ENTRIES_MAX} @click=${this.add}>
        ${icon('plus', 14)} ${words.add}
      </button>
    </form>`;
  }

  /** Back to `entries`. */
  reset(): void {
    this.put(this.entries);
  }

  get value(): TimetableEntry[] | null {
    this.checkDays();
    return this.form.reportValidity() ? this.read() : null;
  }

  private row(row: TimetableEntry, place: number) {
    const name = (field: string) => `${place}-${field}`;
    return html`<li>
      <fieldset>
        <legend>${words.days}</legend>
        ${DAYS.map(
          day =>
            html`<label class="check"
              ><input
                type="checkbox"
                name=${name('days')}
                value=${day}
                .defaultChecked=${row.days.includes(day)}
              />${words.dayNames[day]}</label
            >`,
        )}
      </fieldset>
      <div class="row">
        ${time(name('from'), words.from, words.timeHelp, row.from)}
        ${time(name('to'), words.to, words.toHelp, row.to, '|24:00')}
        <label
          >${words.limit}<input
            name=${name('limit')}
            type="number"
            required
            min="0"
            step="any"
            title=${words.limitHelp}
            .defaultValue=${String(row.limit / MIB)}
        /></label>
        <label
          >${words.zone}<input
            name=${name('zone')}
            required
            list="zones"
            autocomplete="off"
            .defaultValue=${row.timezone}
        /></label>
        <button
          type="button"
          class="bad"
          aria-label=${words.removeOf(place + 1)}
          @click=${() => {
            this.drop(place);
          }}
        >
          ${words.remove}
        </button>
      </div>
      ${place === 0 ? zones() : nothing}
    </li>`;
  }

  /** What the form says now, finished or not. */
  private read(): TimetableEntry[] {
    const form = new FormData(this.form);
    return this.rows.map((_, place) => {
      const name = (field: string) => `${place}-${field}`;
      const days = form.getAll(name('days'));
      return {
        days: DAYS.filter(day => days.includes(day)),
        from: textOf(form, name('from')),
        to: textOf(form, name('to')),
        limit: Math.round(Number(textOf(form, name('limit'))) * MIB),
        timezone: textOf(form, name('zone')),
      };
    });
  }

  private add(): void {
    const last = this.read();
    const zone = last.at(-1)?.timezone ?? here();
    const days: TimetableEntry['days'] = ['mon', 'tue', 'wed', 'thu', 'fri'];
    this.put([...last, { days, from: '08:00', to: '18:00', limit: 10 * MIB, timezone: zone }]);
  }

  private drop(place: number): void {
    this.put(this.read().filter((_, at) => at !== place));
  }

  private put(rows: readonly TimetableEntry[]): void {
    this.rows = rows;
    this.round += 1;
  }

  private checkDays(): void {
    for (const group of this.renderRoot.querySelectorAll('fieldset')) {
      const boxes = [...group.querySelectorAll('input')];
      boxes[0]?.setCustomValidity(boxes.some(box => box.checked) ? '' : words.noDay);
    }
  }

  private stay(event: SubmitEvent): void {
    event.preventDefault();
  }
}

function time(name: string, label: string, help: string, value: string, last = '') {
  return html`<label
    >${label}<input
      name=${name}
      required
      pattern=${`([01]\\d|2[0-3]):[0-5]\\d${last}`}
      title=${help}
      autocomplete="off"
      .defaultValue=${value}
  /></label>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-timetable': FfTimetable;
  }
}
