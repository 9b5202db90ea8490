import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';

import type { Settings } from '../../api/types.js';
import { saving } from '../../components/fields/fields.js';
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

  private readonly action = new Action(this);
  @query('ff-timetable') private readonly timetable!: FfTimetable;

  override render() {
    return html`<section class="panel">
      <h2>${words.title}</h2>
      <form class="inside" @submit=${this.save}>
        ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
        <p class="help">${words.hubHelp}</p>
        <ff-timetable .entries=${this.settings.bandwidth_timetable}></ff-timetable>
        ${saving(this.action)}
      </form>
    </section>`;
  }

  private async save(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const timetable = this.timetable.value;
    if (timetable === null) return;
    await this.action.run(async () => {
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
