import { LitElement, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import type { Upcoming } from '../../api/types.js';
import '../../components/notice/notice.js';
import '../../components/time/time.js';
import { absolute } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { linkTo } from '../../data/router.js';
import { Value } from '../../data/value.js';
import { base, controls, page, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.schedules;
const MOST = 200;

/** What starts by schedule, next first. */
@customElement('ff-schedules')
export class FfSchedules extends LitElement {
  static override styles = [base, controls, page, table];

  @property({ attribute: false }) hub!: Hub;

  private next!: Value<Upcoming[]>;
  private readonly kept = new Keep(this);

  override connectedCallback(): void {
    super.connectedCallback();
    const { client, live } = this.hub;
    this.next = new Value({
      read: async () => (await client.get('/api/schedules/upcoming', { query: { limit: MOST } })).items,
      events: ['job', 'run'],
    });
    this.kept.set(live, [this.next]);
  }

  override render() {
    const { value, problem } = this.next;
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        <span class="dim">${words.week}</span>
      </div>
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel">${value ? this.list(value) : html`<ff-notice kind="loading"></ff-notice>`}</div>
    `;
  }

  private list(runs: readonly Upcoming[]) {
    if (runs.length === 0) return html`<ff-notice heading=${words.empty}>${words.emptyWhy}</ff-notice>`;
    return html`<table>
      <thead>
        <tr>
          <th>${words.job}</th>
          <th>${words.starts}</th>
          <th class="wide">${words.at}</th>
        </tr>
      </thead>
      <tbody>
        ${runs.map(
          run =>
            html`<tr>
              <td>
                <a class="name" href=${linkTo.job(run.job_id)}><div class="cut">${run.job}</div></a>
              </td>
              <td>
                <ff-time future .at=${run.starts_at}></ff-time
                ><span class="under">${absolute(run.starts_at)}</span>
              </td>
              <td class="wide">
                ${run.job_time.replace('T', ' ').slice(0, 16)}<span class="under">${run.timezone}</span>
              </td>
            </tr>`,
        )}
      </tbody>
    </table>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-schedules': FfSchedules;
  }
}
