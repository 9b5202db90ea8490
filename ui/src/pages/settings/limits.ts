import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { Settings } from '../../api/types.js';
import '../../components/notice/notice.js';
import '../../components/timetable/timetable.js';
import type { FfTimetable } from '../../components/timetable/timetable.js';
import { Action } from '../../data/action.js';
import type { Hub } from '../../data/hub.js';
import { base, controls, forms, page, part, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.timetable;

/**
 * How much the whole hub may move, by the hour of the week.
 *
 * @event saved - `settings` is as it is now
 */
@customElement('ff-hub-limits')
export class FfHubLimits extends LitElement {
  static override styles = [
    base,
    controls,
    forms,
    page,
    parts,
    part,
    css`
      .help {
        margin: 0 0 var(--space-3);
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ attribute: false }) settings!: Settings;

  @state() private done = false;
  private readonly action = new Action(this);
  @query('ff-timetable') private readonly timetable!: FfTimetable;

  override render() {
    return html`<section class="panel">
      <h2>${words.title}</h2>
      <div class="inside">
        ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
        <p class="help">${words.hubHelp}</p>
        <ff-timetable .entries=${this.settings.bandwidth_timetable}></ff-timetable>
        <div class="actions">
          <button class="primary" ?disabled=${this.action.busy} @click=${this.save}>
            ${texts.settings.save}
          </button>
          ${this.done ? html`<span class="saved" role="status">${texts.settings.saved}</span>` : nothing}
        </div>
      </div>
    </section>`;
  }

  private async save(): Promise<void> {
    const timetable = this.timetable.value;
    if (timetable === null) return;
    this.done = false;
    this.done = await this.action.run(async () => {
      const body = { bandwidth_timetable: timetable };
      this.settings = await this.hub.client.patch('/api/settings', { body });
      this.dispatchEvent(new Event('saved'));
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-hub-limits': FfHubLimits;
  }
}
