import { LitElement, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';

import type { Alert, Dashboard, Run, Upcoming } from '../../api/types.js';
import '../../components/chart/chart.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/progress/progress.js';
import '../../components/spark/spark.js';
import '../../components/stat/stat.js';
import { toneOf } from '../../components/status/status.js';
import '../../components/time/time.js';
import { Action } from '../../data/action.js';
import { absolute, bytes, percent, rate } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { mayManage, mayRun } from '../../data/roles.js';
import { linkTo, linkToObject } from '../../data/router.js';
import { Throughput } from '../../data/throughput.js';
import { Value } from '../../data/value.js';
import { base, controls, page, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './dashboard.styles.js';

const words = texts.dashboard;
const NEXT = 6;

/** How the hub is doing: what moves, how the last day went, and what needs somebody's eyes. */
@customElement('ff-dashboard')
export class FfDashboard extends LitElement {
  static override styles = [base, controls, page, parts, styles];

  @property({ attribute: false }) hub!: Hub;

  private board!: Value<Dashboard>;
  private next!: Value<Upcoming[]>;
  private anyJob!: Value<boolean>;
  private readonly throughput = new Throughput();
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);

  override connectedCallback(): void {
    super.connectedCallback();
    const { client, live } = this.hub;
    this.board = new Value({
      read: async () => {
        const board = await client.get('/api/dashboard');
        for (const run of board.active_runs) this.throughput.take(run);
        return board;
      },
      events: ['run', 'agent', 'alert'],
      moving: board => board.runs.active > 0,
    });
    this.next = new Value({
      read: async () => (await client.get('/api/schedules/upcoming', { query: { limit: NEXT } })).items,
      events: ['job'],
    });
    this.anyJob = new Value({
      read: async () => (await client.get('/api/jobs', { query: { limit: 1 } })).items.length > 0,
      events: ['job'],
    });
    this.kept.set(live, [this.board, this.next, this.anyJob, this.throughput, this.hub.jobsById]);
    this.throughput.start();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.throughput.stop();
  }

  override render() {
    const { value: board, problem } = this.board;
    return html`
      <div class="head"><h1>${words.title}</h1></div>
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${board ? this.whole(board) : problem ? nothing : html`<ff-notice kind="loading"></ff-notice>`}
    `;
  }

  private whole(board: Dashboard) {
    const { agents } = board;
    const all = agents.online + agents.offline + agents.new + agents.pending;
    return html`<div class="parts">
      ${this.anyJob.value === false ? this.welcome(all, agents.online) : nothing} ${this.numbers(board, all)}
      <section class="panel">
        <h2 title=${words.throughputWhy}>${words.throughput}</h2>
        <div class="inside">
          <ff-chart
            .times=${this.throughput.times}
            .values=${this.throughput.values}
            .format=${rate}
            .label=${`${words.throughput}: ${rate(this.throughput.now)}`}
          ></ff-chart>
        </div>
      </section>
      <div class="two">
        <section class="panel">
          <h2>${words.running}</h2>
          ${this.running(board.active_runs)}
        </section>
        <section class="panel">
          <h2>${words.alerts}</h2>
          ${this.alerts(board.alerts)}
        </section>
        <section class="panel">
          <h2>${words.failing}</h2>
          ${this.failing(board)}
        </section>
        <section class="panel">
          <h2>${words.next}</h2>
          ${this.upcoming()}
        </section>
      </div>
    </div>`;
  }

  private numbers(board: Dashboard, all: number) {
    const { agents, runs, bytes_24h: moved } = board;
    const day = runs.last_24h;
    const bad = day.failed + day.partial;
    const over = moved.moved - moved.reused;
    const saved = over > 0 ? percent(Math.max(0, (1 - moved.wire / over) * 100)) : percent(0);
    return html`<div class="numbers">
      <ff-stat
        .name=${words.agents}
        .value=${words.agentsOf(agents.online, all)}
        .href=${linkTo.page('agents')}
        tone=${agents.offline ? 'warn' : 'idle'}
        >${words.agentsAway(agents.offline, agents.pending)}</ff-stat
      >
      <ff-stat .name=${words.active} .value=${String(runs.active)} .href=${linkTo.runs('active')}
        >${words.queued(runs.queued)}</ff-stat
      >
      <ff-stat .name=${words.rate} .value=${rate(this.throughput.now)}>${words.rateWhy}</ff-stat>
      <ff-stat .name=${words.succeeded} .value=${day.succeeded.toLocaleString('en')} .href=${linkTo.runs()}
        >${words.day}</ff-stat
      >
      <ff-stat
        .name=${words.failed}
        .value=${bad.toLocaleString('en')}
        .href=${linkTo.runs('failed')}
        tone=${bad ? 'bad' : 'idle'}
        >${words.failedOf(day.failed, day.partial)}</ff-stat
      >
      <ff-stat .name=${words.moved} .value=${bytes(moved.moved)}
        >${words.saved(saved, bytes(moved.reused))}</ff-stat
      >
    </div>`;
  }

  private running(runs: readonly Run[]) {
    if (runs.length === 0) return html`<ff-notice heading=${words.runningNone}></ff-notice>`;
    return html`<ul>
      ${repeat(
        runs,
        run => run.id,
        run =>
          html`<li>
            <a class="row" href=${linkTo.run(run.id)}>
              <span class="cut name">${this.jobName(run.job_id)}</span>
              <ff-spark
                class="wide"
                .values=${this.throughput.past(run.id)}
                .label=${words.lastMinute}
              ></ff-spark>
              <span class="dim"
                >${run.status === 'transferring' ? rate(this.throughput.of(run.id)) : texts.runStatuses[run.status]}</span
              >
              <span class="share">${percent(run.progress)}</span>
            </a>
            <ff-progress
              .value=${run.progress}
              .label=${texts.run.progress}
              tone=${toneOf(run.status)}
            ></ff-progress>
          </li>`,
      )}
    </ul>`;
  }

  private alerts(alerts: readonly Alert[]) {
    if (alerts.length === 0) return html`<ff-notice heading=${words.alertsNone}></ff-notice>`;
    const may = mayRun(this.hub.session.user);
    return html`<ul>
      ${alerts.map(
        alert =>
          html`<li class="alert">
            <div>
              ${linkToObject(alert.object) ? html`<a href=${linkToObject(alert.object) ?? ''}>${alert.message}</a>` : alert.message}
              <span class="under">${words.times(alert.count)} <ff-time .at=${alert.last_at}></ff-time></span>
            </div>
            ${
              may
                ? html`<button
                    class="quiet"
                    ?disabled=${this.action.busy}
                    @click=${() => this.dismiss(alert)}
                  >
                    ${words.dismiss}
                  </button>`
                : nothing
            }
          </li>`,
      )}
    </ul>`;
  }

  private failing(board: Dashboard) {
    if (board.failing_jobs.length === 0) return html`<ff-notice heading=${words.failingNone}></ff-notice>`;
    return html`<ul>
      ${board.failing_jobs.map(
        job =>
          html`<li>
            <a class="row" href=${linkTo.job(job.job_id)}>
              <span class="cut name">${job.name}</span>
              <span class="bad">${words.failingCount(job.failed)}</span>
            </a>
            <span class="under cut" title=${job.last_reason}>${job.last_reason}</span>
          </li>`,
      )}
    </ul>`;
  }

  private upcoming() {
    const { value } = this.next;
    if (!value) return html`<ff-notice kind="loading"></ff-notice>`;
    if (value.length === 0) return html`<ff-notice heading=${words.nextNone}></ff-notice>`;
    return html`<ul>
      ${value.map(
        one =>
          html`<li>
            <a class="row" href=${linkTo.job(one.job_id)}>
              <span class="cut name">${one.job}</span>
              <span class="dim" title=${absolute(one.starts_at)}
                ><ff-time future .at=${one.starts_at}></ff-time
              ></span>
            </a>
          </li>`,
      )}
    </ul>`;
  }

  /** Until there is a job: what has been done already, and the button for what is next. */
  private welcome(agents: number, online: number) {
    const { user } = this.hub.session;
    const toAgents = mayManage(user) ? linkTo.page('agents') : undefined;
    const steps = [
      {
        done: agents > 0,
        what: words.welcomeAgent,
        why: words.welcomeAgentWhy,
        to: toAgents,
        button: words.createAgent,
      },
      {
        done: online > 0,
        what: words.welcomeInstall,
        why: words.welcomeInstallWhy,
        to: toAgents,
        button: words.showAgents,
      },
      {
        done: false,
        what: words.welcomeJob,
        why: words.welcomeJobWhy,
        to: mayRun(user) ? linkTo.newJob : undefined,
        button: words.createJob,
      },
    ];
    const next = steps.find(step => !step.done);
    return html`<section class="panel welcome">
      <h2>${words.welcome}</h2>
      <ol>
        ${steps.map(
          step =>
            html`<li class=${step.done ? 'done' : ''} aria-current=${step === next ? 'step' : nothing}>
              <strong
                >${step.what}${step.done ? html` <span class="did">${icon('check', 14)} ${words.did}</span>` : nothing}</strong
              >
              <span class="under">${step.why}</span>
              ${step === next && step.to ? html`<a class="button primary" href=${step.to}>${step.button}</a>` : nothing}
            </li>`,
        )}
      </ol>
    </section>`;
  }

  private jobName(id: number): string {
    return this.hub.jobsById.get(id)?.name ?? texts.runs.jobNumber(id);
  }

  private async dismiss(alert: Alert): Promise<void> {
    await this.action.run(async () => {
      await this.hub.client.post('/api/alerts/{alert_id}/dismiss', { id: alert.id });
      await this.board.refresh();
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-dashboard': FfDashboard;
  }
}
