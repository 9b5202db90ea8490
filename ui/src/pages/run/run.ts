import { LitElement, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import { hasEnded, type Job, type Run } from '../../api/types.js';
import '../../components/confirm/confirm.js';
import type { FfConfirm } from '../../components/confirm/confirm.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/route/route.js';
import { toneOf } from '../../components/status/status.js';
import { Action } from '../../data/action.js';
import { save } from '../../data/csv.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { mayRun } from '../../data/roles.js';
import { linkTo } from '../../data/router.js';
import { OneRun } from '../../data/run.js';
import { base, controls, page } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import './explain.js';
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

  /** Asked for and not over yet. */
  @state() private cancelling = false;

  private one!: OneRun;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);
  @query('ff-confirm') private readonly confirm!: FfConfirm;

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('runId') && !changed.has('hub')) return;
    this.one = new OneRun(this.hub.client, this.runId);
    this.cancelling = false;
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
          <h1 class="cut" title=${job?.name ?? ''}>
            <a class="plain" href=${linkTo.job(run.job_id)}
              >${job?.name ?? texts.runs.jobNumber(run.job_id)}</a
            >
          </h1>
        </div>
        <ff-status tone=${toneOf(run.status)}>${texts.runStatuses[run.status]}</ff-status>
        <button ?disabled=${this.action.busy} @click=${this.explain}>${words.explain}</button>
        <button ?disabled=${this.action.busy} title=${words.reportWhy} @click=${this.report}>
          ${words.report}
        </button>
        ${mayRun(this.hub.session.user) ? this.buttons(run) : nothing}
      </div>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel summary">
        ${job ? this.route(job) : nothing}
        <ff-summary .run=${run} .rate=${this.one.rate.perSecond} .left=${this.one.left}></ff-summary>
      </div>
      <ff-files .hub=${this.hub} .run=${run}></ff-files>
      <ff-explain .hub=${this.hub} .runId=${run.id}></ff-explain>
      <ff-confirm cancel=${words.cancelNo}></ff-confirm>
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
    const { busy } = this.action;
    if (hasEnded(run)) return this.afterwards(run, busy);
    const paused = run.status === 'paused';
    return html`
      <button ?disabled=${busy} @click=${() => this.control(paused ? 'resume' : 'pause')}>
        ${icon(paused ? 'play' : 'pause', 12)} ${paused ? words.resume : words.pause}
      </button>
      <button ?disabled=${busy || this.cancelling} @click=${this.askCancel}>
        ${this.cancelling ? words.cancelAsked : words.cancel}
      </button>
    `;
  }

  private afterwards(run: Run, busy: boolean) {
    const bad = run.files_failed > 0 || run.status === 'failed' || run.status === 'cancelled';
    return html`
      ${bad ? html`<button ?disabled=${busy} title=${words.retryWhy} @click=${this.retry}>${icon('again', 14)} ${words.retry}</button>` : nothing}
      <button ?disabled=${busy} @click=${this.again}>${icon('play', 12)} ${words.again}</button>
    `;
  }

  private explain(): void {
    this.renderRoot.querySelector('ff-explain')?.show();
  }

  private async control(what: 'pause' | 'resume'): Promise<void> {
    const path = what === 'pause' ? '/api/runs/{run_id}/pause' : '/api/runs/{run_id}/resume';
    await this.action.run(async () => {
      this.one.take(await this.hub.client.post(path, { id: this.runId }));
    });
  }

  private askCancel(): void {
    this.confirm.ask({
      heading: words.cancelAsk,
      why: words.cancelSure,
      yes: words.cancelYes,
      then: () => this.cancel(),
    });
  }

  private async cancel(): Promise<void> {
    this.cancelling = true;
    const worked = await this.action.run(async () => {
      this.one.take(await this.hub.cancelRun(this.runId));
    });
    if (!worked) this.cancelling = false;
  }

  private async retry(): Promise<void> {
    await this.action.run(async () => {
      const run = await this.hub.client.post('/api/runs/{run_id}/retry', { id: this.runId });
      location.hash = linkTo.run(run.id);
    });
  }

  private async again(): Promise<void> {
    const { run } = this.one;
    if (!run) return;
    await this.action.run(async () => {
      location.hash = linkTo.run((await this.hub.startRun(run.job_id)).id);
    });
  }

  private async report(): Promise<void> {
    await this.action.run(async () => {
      const answer = await this.hub.client.open('GET', `/api/runs/${this.runId}/report?format=csv`);
      save(`run-${this.runId}.csv`, await answer.blob());
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-run': FfRun;
  }
}
