import { LitElement, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import { readable } from '../../api/problem.js';
import { hasEnded, type Job, type Run } from '../../api/types.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/route/route.js';
import { toneOf } from '../../components/status/status.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { mayRun } from '../../data/roles.js';
import { linkTo } from '../../data/router.js';
import { OneRun } from '../../data/run.js';
import { base, controls, page } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import './files.js';
import { styles } from './run.styles.js';
import './summary.js';

const words = texts.run;

/** One run from its start to its verified end. */
@customElement('ff-run')
export class FfRun extends LitElement {
  static override styles = [base, controls, page, styles];

  @property({ attribute: false }) hub!: Hub;
  @property({ type: Number }) runId = 0;

  /** Nothing, "are you sure", or asked for and not over yet. */
  @state() private cancelling: '' | 'sure' | 'asked' = '';
  @state() private problem = '';

  private one!: OneRun;
  private readonly kept = new Keep(this);

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('runId') && !changed.has('hub')) return;
    this.one = new OneRun(this.hub.client, this.runId);
    this.cancelling = '';
    this.problem = '';
    this.kept.set(this.hub.live, [this.one, this.hub.jobsById, this.hub.agentsById]);
  }

  override render() {
    const { run, problem } = this.one;
    if (!run) return problem ? this.gone(problem.message) : html`<ff-notice kind="loading"></ff-notice>`;
    const job = this.hub.jobsById.get(run.job_id);
    return html`
      <div class="crumb"><a href="#/runs">${texts.runs.title}</a> / ${texts.runs.runNumber(run.id)}</div>
      <div class="head">
        <div class="title">
          <h1 class="cut" title=${job?.name ?? ''}>${job?.name ?? texts.runs.jobNumber(run.job_id)}</h1>
        </div>
        <ff-status tone=${toneOf(run.status)}>${texts.runStatuses[run.status]}</ff-status>
        ${mayRun(this.hub.session.user) ? this.buttons(run) : nothing}
      </div>
      ${this.problem ? html`<ff-notice kind="error" heading=${this.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel summary">
        ${job ? this.route(job) : nothing}
        <ff-summary .run=${run} .rate=${this.one.rate.perSecond} .left=${this.one.left}></ff-summary>
      </div>
      <ff-files .hub=${this.hub} .run=${run}></ff-files>
    `;
  }

  private gone(message: string) {
    return html`<ff-notice heading=${message}><a href="#/runs">${texts.common.back}</a></ff-notice>`;
  }

  private route(job: Job) {
    const agent = (id: number) => this.hub.agentsById.get(id)?.name ?? texts.jobs.agent(id);
    return html`<ff-route
      class="route"
      .source=${agent(job.source_agent_id)}
      .sourcePath=${job.source_path}
      .destination=${agent(job.destination_agent_id)}
      .destinationPath=${job.destination_path}
    ></ff-route>`;
  }

  private buttons(run: Run) {
    if (hasEnded(run)) return html`<button @click=${this.again}>${icon('play', 12)} ${words.again}</button>`;
    if (this.cancelling === 'sure') {
      return html`<div class="sure">
        ${words.cancelSure}
        <button class="bad" @click=${this.cancel}>${words.cancelYes}</button>
        <button @click=${() => (this.cancelling = '')}>${words.cancelNo}</button>
      </div>`;
    }
    return html`<button ?disabled=${this.cancelling === 'asked'} @click=${() => (this.cancelling = 'sure')}>
      ${this.cancelling === 'asked' ? words.cancelAsked : words.cancel}
    </button>`;
  }

  private async cancel(): Promise<void> {
    this.cancelling = 'asked';
    this.problem = '';
    try {
      this.one.take(await this.hub.cancelRun(this.runId));
    } catch (error) {
      this.cancelling = '';
      this.problem = readable(error);
    }
  }

  private async again(): Promise<void> {
    if (!this.one.run) return;
    this.problem = '';
    try {
      location.hash = linkTo.run((await this.hub.startRun(this.one.run.job_id)).id);
    } catch (error) {
      this.problem = readable(error);
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-run': FfRun;
  }
}
