import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import { readable } from '../../api/problem.js';
import type { Preview } from '../../api/types.js';
import { zones } from '../../components/fields/fields.js';
import { moment } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { here } from '../../data/zone.js';
import { base, controls, forms } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.edit;
const OWN = 'own';
const ASK_MS = 350;

/** When a job starts: a preset or a cron expression, in words, with the next times in the job's zone and in mine. */
@customElement('ff-schedule')
export class FfSchedule extends LitElement {
  static override styles = [
    base,
    controls,
    forms,
    css`
      .next {
        margin-top: var(--space-3);
        font-size: 13px;
      }
      .next strong {
        font-weight: 500;
      }
      ol {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr));
        gap: 2px var(--space-4);
        margin: var(--space-1) 0 0;
        padding: 0;
        list-style: none;
        color: var(--text-dim);
      }
      .bad {
        margin-top: var(--space-2);
        color: var(--bad);
        font-size: 13px;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  /** The expression; null is by hand. */
  @property({ attribute: false }) cron: string | null = null;
  /** Of the expression; null at first for the browser's own. */
  @property({ attribute: false }) zone: string | null = null;

  @state() private own = false;
  @state() private preview: Preview | undefined;
  @state() private problem = '';
  private due: ReturnType<typeof setTimeout> | undefined;

  override connectedCallback(): void {
    super.connectedCallback();
    this.zone ??= here();
    this.own = this.cron !== null && !(this.cron in words.presets);
    this.ask();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    clearTimeout(this.due);
  }

  override render() {
    return html`
      <div class="fields">
        <label
          >${words.preset}<select @change=${this.choose}>
            ${Object.entries(words.presets).map(
              ([cron, text]) =>
                html`<option value=${cron} ?selected=${!this.own && cron === (this.cron ?? '')}>
                  ${text}
                </option>`,
            )}
            <option value=${OWN} ?selected=${this.own}>${words.own}</option>
          </select></label
        >
        ${
          this.own
            ? html`<label
                >${words.cron}<input
                  .value=${this.cron ?? ''}
                  @input=${this.typed}
                  spellcheck="false"
                  autocomplete="off"
                /><span class="help">${words.cronHelp}</span></label
              >`
            : nothing
        }
        ${
          this.cron === null
            ? nothing
            : html`<label
                  >${words.timezone}<input
                    .value=${this.zone ?? ''}
                    list="zones"
                    @change=${this.zoned}
                    autocomplete="off"
                /></label>
                ${zones()}`
        }
      </div>
      ${this.problem ? html`<p class="bad" role="alert">${this.problem}</p>` : nothing}
      ${this.preview && this.cron !== null ? this.times(this.preview) : nothing}
    `;
  }

  private times(preview: Preview) {
    return html`<div class="next">
      <strong>${preview.words}</strong>
      <ol aria-label=${words.nextFive}>
        ${preview.items.map(
          one =>
            html`<li>
              ${one.job_time.replace('T', ' ').slice(0, 16)}
              ${this.zone === here() ? nothing : html`(${words.mine} ${moment(one.utc)})`}
            </li>`,
        )}
      </ol>
    </div>`;
  }

  private choose(event: Event): void {
    const { value } = event.target as HTMLSelectElement;
    this.own = value === OWN;
    this.cron = value === '' ? null : this.own ? (this.cron ?? '0 2 * * *') : value;
    this.ask();
  }

  private typed(event: InputEvent): void {
    this.cron = (event.target as HTMLInputElement).value;
    this.ask();
  }

  private zoned(event: Event): void {
    this.zone = (event.target as HTMLInputElement).value;
    this.ask();
  }

  private ask(): void {
    clearTimeout(this.due);
    this.problem = '';
    if (this.cron === null || this.cron.trim() === '') {
      this.preview = undefined;
      return;
    }
    this.due = setTimeout(() => void this.read(), ASK_MS);
  }

  private async read(): Promise<void> {
    const asked = this.cron;
    try {
      const query = { cron: asked ?? '', tz: this.zone ?? 'UTC', viewer_tz: here(), count: 5 };
      const preview = await this.hub.client.get('/api/schedules/preview', { query });
      if (asked === this.cron) this.preview = preview;
    } catch (error) {
      this.preview = undefined;
      this.problem = readable(error);
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-schedule': FfSchedule;
  }
}
