import { LitElement, css, html, type PropertyValues } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { hasEnded, type Run } from '../../api/types.js';
import '../../components/notice/notice.js';
import '../../components/progress/progress.js';
import { toneOf } from '../../components/status/status.js';
import '../../components/time/time.js';
import { bytes, duration, percent, seconds } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { linkTo } from '../../data/router.js';
import { Rows } from '../../data/rows.js';
import { base, controls, page, part, parts, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.runs;

/** The runs of one job, newest first. */
@customElement('ff-job-runs')
export class FfJobRuns extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    parts,
    part,
    table,
    css`
      .c-status {
        width: 172px;
      }
      .c-run {
        width: 76px;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ type: Number }) jobId = 0;

  private runs!: Rows<Run>;
  private readonly kept = new Keep(this);

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('jobId') && !changed.has('hub')) return;
    const id = this.jobId;
    this.runs = new Rows<Run>({
      read: (limit, cursor) =>
        this.hub.client.get('/api/runs', { query: { job_id: id, limit, cursor, sort: '-id' } }),
      event: 'run',
      newest: 'first',
      belongs: run => run.job_id === id,
      moving: run => !hasEnded(run),
      first: 20,
    });
    this.kept.set(this.hub.live, [this.runs]);
  }

  override render() {
    const { items, loaded, hasMore } = this.runs;
    return html`<section class="panel">
      <h2>${texts.job.runs}</h2>
      ${
        items.length
          ? html`<table>
              <thead>
                <tr>
                  <th class="c-run">${words.run}</th>
                  <th class="c-status">${words.status}</th>
                  <th>${words.started}</th>
                  <th class="wide number">${words.files}</th>
                  <th class="wide number">${words.size}</th>
                  <th class="wide number">${words.took}</th>
                </tr>
              </thead>
              <tbody>
                ${items.map(run => this.row(run))}
              </tbody>
            </table>`
          : html`<ff-notice kind=${loaded ? 'empty' : 'loading'} heading=${texts.job.noRuns}></ff-notice>`
      }
      ${hasMore ? html`<div class="more"><button @click=${() => this.runs.showMore()}>${texts.common.more}</button></div>` : ''}
    </section>`;
  }

  private row(run: Run) {
    return html`<tr>
      <td><a class="name" href=${linkTo.run(run.id)}>#${run.id}</a></td>
      <td>
        <ff-status tone=${toneOf(run.status)} title=${run.reason}>${texts.runStatuses[run.status]}</ff-status>
      </td>
      <td>
        <ff-time .at=${run.created_at}></ff-time>
        <span class="under cut" title=${run.reason}
          >${hasEnded(run) ? run.reason : percent(run.progress)}</span
        >
      </td>
      <td class="wide number">${run.files_done.toLocaleString('en')}</td>
      <td class="wide number">${bytes(run.bytes_done)}</td>
      <td class="wide number">${duration(seconds(run.started_at, run.ended_at))}</td>
    </tr>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-job-runs': FfJobRuns;
  }
}
