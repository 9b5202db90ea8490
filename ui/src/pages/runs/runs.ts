import { LitElement, html, nothing, type PropertyValues } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';

import { hasEnded, type Run, type RunStatus } from '../../api/types.js';
import '../../components/notice/notice.js';
import '../../components/progress/progress.js';
import { toneOf } from '../../components/status/status.js';
import '../../components/tabs/tabs.js';
import type { FfTabs } from '../../components/tabs/tabs.js';
import '../../components/time/time.js';
import { bytes, duration, percent, seconds } from '../../data/format.js';
import { ACTIVE_RUNS, BAD_RUNS, type Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { linkTo } from '../../data/router.js';
import type { Rows } from '../../data/rows.js';
import { base, controls, page, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './runs.styles.js';

const words = texts.runs;
const FILTERS: Readonly<Record<string, readonly RunStatus[]>> = {
  all: [],
  active: ACTIVE_RUNS,
  failed: BAD_RUNS,
};

/** Every run, newest first. */
@customElement('ff-runs')
export class FfRuns extends LitElement {
  static override styles = [base, controls, page, table, styles];

  @property({ attribute: false }) hub!: Hub;
  @property() filter = 'all';

  private runs!: Rows<Run>;
  private readonly kept = new Keep(this);

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('filter') && !changed.has('hub')) return;
    if (!(this.filter in FILTERS)) this.filter = 'all';
    this.runs = this.hub.runs(FILTERS[this.filter] ?? []);
    this.kept.set(this.hub.live, [this.runs, this.hub.jobsById]);
  }

  override render() {
    const { items, loaded, problem, hasMore } = this.runs;
    const options = { all: words.all, active: words.active, failed: words.failed };
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        <span class="grow"></span>
        <ff-tabs
          .options=${options}
          .value=${this.filter}
          .label=${words.filter}
          @change=${this.choose}
        ></ff-tabs>
      </div>
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel">
        ${items.length ? this.table(items) : this.nothingYet(loaded)}
        ${
          hasMore
            ? html`<div class="more"><button @click=${this.more}>${texts.common.more}</button></div>`
            : nothing
        }
      </div>
    `;
  }

  private nothingYet(loaded: boolean) {
    if (!loaded) return html`<ff-notice kind="loading"></ff-notice>`;
    if (this.filter !== 'all') return html`<ff-notice heading=${words.noneFiltered}></ff-notice>`;
    return html`<ff-notice heading=${words.empty}
      >${words.emptyWhy} <a href="#/jobs">${words.emptyLink}</a></ff-notice
    >`;
  }

  private table(items: readonly Run[]) {
    return html`<table>
      <thead>
        <tr>
          <th class="c-run">${words.run}</th>
          <th>${words.job}</th>
          <th class="c-status">${words.status}</th>
          <th class="c-progress wide">${words.progress}</th>
          <th class="c-files number wide">${words.files}</th>
          <th class="c-size number wide">${words.size}</th>
          <th class="c-started wide">${words.started}</th>
          <th class="c-took wide medium">${words.took}</th>
        </tr>
      </thead>
      <tbody>
        ${repeat(
          items,
          run => run.id,
          run => this.row(run),
        )}
      </tbody>
    </table>`;
  }

  private row(run: Run) {
    const job = this.hub.jobsById.get(run.job_id)?.name ?? words.jobNumber(run.job_id);
    const size = hasEnded(run) ? run.bytes_done : run.bytes_total;
    return html`<tr>
      <td><a class="name" href=${linkTo.run(run.id)}>#${run.id}</a></td>
      <td title=${job}>
        <a class="name" href=${linkTo.run(run.id)}><div class="cut">${job}</div></a>
        ${run.reason ? html`<span class="under cut" title=${run.reason}>${run.reason}</span>` : nothing}
      </td>
      <td><ff-status tone=${toneOf(run.status)}>${texts.runStatuses[run.status]}</ff-status></td>
      <td class="wide">
        <div class="bar">
          <ff-progress
            .value=${run.progress}
            .label=${words.progress}
            tone=${toneOf(run.status)}
          ></ff-progress>
          <span>${percent(run.progress)}</span>
        </div>
      </td>
      <td class="number wide">
        ${run.files_done.toLocaleString('en')}${
          run.files_total !== null && run.files_total !== run.files_done
            ? html`<span class="dim"> / ${run.files_total.toLocaleString('en')}</span>`
            : nothing
        }
      </td>
      <td class="number wide">${bytes(size)}</td>
      <td class="wide"><ff-time .at=${run.created_at}></ff-time></td>
      <td class="wide medium">${duration(seconds(run.started_at, run.ended_at))}</td>
    </tr>`;
  }

  private choose(event: Event): void {
    location.hash = linkTo.runs((event.target as FfTabs).value);
  }

  private async more(): Promise<void> {
    await this.runs.showMore();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-runs': FfRuns;
  }
}
