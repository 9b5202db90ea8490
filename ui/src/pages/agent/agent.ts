import { LitElement, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { Agent, Job, Run } from '../../api/types.js';
import '../../components/browser/browser.js';
import type { FfBrowser } from '../../components/browser/browser.js';
import '../../components/confirm/confirm.js';
import type { FfConfirm } from '../../components/confirm/confirm.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/progress/progress.js';
import { toneOf } from '../../components/status/status.js';
import '../../components/time/time.js';
import { fact } from '../../components/fact/fact.js';
import { Action } from '../../data/action.js';
import { absolute, bytes, percent } from '../../data/format.js';
import { ACTIVE_RUNS, type Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { mayAudit, mayManage, mayRun } from '../../data/roles.js';
import { rootsOf } from '../../data/roots.js';
import { linkTo } from '../../data/router.js';
import { Value } from '../../data/value.js';
import { base, controls, page, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './agent.styles.js';
import './doctor.js';
import './edit.js';
import type { FfAgentEdit } from './edit.js';
import './tokens.js';

const words = texts.agent;
const RUNS_SHOWN = 20;
const JOBS_MAX = 50;

/** One agent: how it is connected, what it offers, what it is used for, and its tokens. */
@customElement('ff-agent')
export class FfAgent extends LitElement {
  static override styles = [base, controls, page, parts, styles];

  @property({ attribute: false }) hub!: Hub;
  @property({ type: Number }) agentId = 0;

  @state() private tested = '';

  private agent!: Value<Agent>;
  private jobs!: Value<Job[]>;
  private runs!: Value<Run[]>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);
  @query('ff-browser') private readonly browser!: FfBrowser;
  @query('ff-confirm') private readonly confirm!: FfConfirm;

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('agentId') && !changed.has('hub')) return;
    const { client, live } = this.hub;
    const id = this.agentId;
    this.tested = '';
    this.agent = new Value({ read: () => client.get('/api/agents/{agent_id}', { id }), events: ['agent'] });
    this.jobs = new Value({
      read: async () =>
        (await client.get('/api/jobs', { query: { agent_id: id, limit: JOBS_MAX, sort: 'name' } })).items,
      events: ['job'],
    });
    this.runs = new Value<Run[]>({
      read: async () =>
        (
          await client.get('/api/runs', {
            query: { agent_id: id, status: [...ACTIVE_RUNS], sort: '-created_at', limit: RUNS_SHOWN },
          })
        ).items,
      events: ['run'],
      moving: runs => runs.length > 0,
    });
    this.kept.set(live, [this.agent, this.jobs, this.runs, this.hub.jobsById]);
  }

  override render() {
    const { value: agent, problem } = this.agent;
    if (!agent) {
      return problem
        ? html`<ff-notice heading=${problem.message}
            ><a href=${linkTo.page('agents')}>${texts.agents.title}</a></ff-notice
          >`
        : html`<ff-notice kind="loading"></ff-notice>`;
    }
    return html`
      <div class="crumb"><a href=${linkTo.page('agents')}>${texts.agents.title}</a> / ${agent.name}</div>
      <div class="head">
        <h1 class="cut" title=${agent.name}>${agent.name}</h1>
        <ff-status tone=${toneOf(agent.status)} title=${texts.agents.statusWhy[agent.status]}
          >${texts.agents.statuses[agent.status]}</ff-status
        >
        <span class="grow"></span>
        ${this.buttons(agent)}
      </div>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="parts">
        <section class="panel">
          <div class="inside">
            ${agent.description ? html`<p class="about">${agent.description}</p>` : nothing}
            ${this.facts(agent)}
            ${this.tested ? html`<p class="tested" role="status">${icon('check')} ${this.tested}</p>` : nothing}
          </div>
        </section>
        ${this.disks(agent)}
        ${mayRun(this.hub.session.user) ? html`<ff-agent-doctor .hub=${this.hub} .agent=${agent}></ff-agent-doctor>` : nothing}
        <section class="panel">
          <h2>${words.running}</h2>
          ${this.running()}
        </section>
        <section class="panel">
          <h2>${words.jobs}</h2>
          ${this.usedBy(agent)}
        </section>
        ${mayAudit(this.hub.session.user) ? html`<ff-agent-tokens .hub=${this.hub} .agent=${agent}></ff-agent-tokens>` : nothing}
      </div>
      <ff-agent-edit .hub=${this.hub} .agent=${agent} @saved=${this.saved}></ff-agent-edit>
      <ff-browser .hub=${this.hub}></ff-browser>
      <ff-confirm></ff-confirm>
    `;
  }

  private buttons(agent: Agent) {
    const { user } = this.hub.session;
    const online = agent.status === 'online';
    return html`
      ${
        mayRun(user) && online
          ? html`<button ?disabled=${this.action.busy} @click=${this.test}>${words.test}</button>
              <button
                @click=${() => {
                  this.browser.open(agent, '');
                }}
              >
                ${icon('folder', 14)} ${words.folders}
              </button>`
          : nothing
      }
      ${
        mayManage(user) && agent.status !== 'revoked'
          ? html`<button @click=${this.edit}>${words.edit}</button>
              <button
                class="bad"
                @click=${() => {
                  this.drop(agent);
                }}
              >
                ${words.remove}
              </button>`
          : nothing
      }
    `;
  }

  private facts(agent: Agent) {
    const info = (agent.info ?? {}) as Record<string, unknown>;
    const said = (name: string) => (typeof info[name] === 'string' ? info[name] : '');
    const transport = agent.transport && (texts.agents.transports[agent.transport] ?? agent.transport);
    return html`<dl class="facts">
      ${fact(words.transport, transport ?? texts.common.none)}
      ${agent.transport_reason ? fact(words.why, agent.transport_reason) : nothing}
      ${agent.connected_since ? fact(words.since, absolute(agent.connected_since)) : fact(words.seen, agent.last_seen ? absolute(agent.last_seen) : texts.common.never)}
      ${fact(words.host, said('hostname') || texts.common.none)}
      ${fact(words.system, said('os') || texts.common.none)}
      ${fact(words.version, said('version') || texts.common.none)}
      ${agent.load_average === null ? nothing : fact(words.load, words.loadOf(agent.load_average, info.cpu_count))}
      ${fact(words.limitNow, limitsOf(agent))} ${fact(words.created, absolute(agent.created_at))}
      ${
        agent.tags.length
          ? html`<div>
              <dt>${texts.agents.tags}</dt>
              <dd>${agent.tags.map(tag => html`<span class="tag" title=${tag}>${tag}</span>`)}</dd>
            </div>`
          : nothing
      }
    </dl>`;
  }

  private disks(agent: Agent) {
    const roots = rootsOf(agent.info);
    if (roots.length === 0) return nothing;
    return html`<section class="panel">
      <h2>${words.folders}</h2>
      <ul>
        ${roots.map(root => {
          const used = root.total ? (100 * (root.total - root.free)) / root.total : 0;
          return html`<li class="root">
            <code class="cut" title=${root.path}>${root.path}</code>
            <span class="dim">${words.may(root.read, root.write)}</span>
            <span class="disk" title=${words.diskWhy}>
              ${
                root.total
                  ? html`<ff-progress
                        .value=${used}
                        .label=${words.disk}
                        tone=${used > 90 ? 'bad' : 'idle'}
                      ></ff-progress>
                      <span>${words.free(bytes(root.free), bytes(root.total))}</span>`
                  : texts.common.none
              }
            </span>
          </li>`;
        })}
      </ul>
    </section>`;
  }

  /** Runs that have it at one of their ends. */
  private running() {
    const items = this.runs.value;
    if (!items?.length)
      return html`<ff-notice kind=${items ? 'empty' : 'loading'} heading=${words.idle}></ff-notice>`;
    return html`<ul>
      ${items.map(
        run =>
          html`<li>
            <a class="cut" href=${linkTo.run(run.id)}
              >${this.hub.jobsById.get(run.job_id)?.name ?? texts.runs.jobNumber(run.job_id)}</a
            >
            <span class="dim">${texts.runStatuses[run.status]}, ${percent(run.progress)}</span>
          </li>`,
      )}
    </ul>`;
  }

  private usedBy(agent: Agent) {
    const { value } = this.jobs;
    if (!value) return html`<ff-notice kind="loading"></ff-notice>`;
    if (value.length === 0) return html`<ff-notice heading=${words.noJobs}></ff-notice>`;
    return html`<ul>
      ${value.map(
        job =>
          html`<li>
            <a class="cut" href=${linkTo.job(job.id)}>${job.name}</a>
            <code class="cut"
              >${job.source_agent_id === agent.id ? `${texts.jobs.source} ${job.source_path}` : `${texts.jobs.destination} ${job.destination_path}`}</code
            >
          </li>`,
      )}
    </ul>`;
  }

  private edit(): void {
    this.renderRoot.querySelector('ff-agent-edit')?.open();
  }

  private saved(event: Event): void {
    this.agent.take((event.target as FfAgentEdit).agent);
  }

  private async test(): Promise<void> {
    this.tested = '';
    await this.action.run(async () => {
      const answer = await this.hub.client.post('/api/agents/{agent_id}/test', { id: this.agentId });
      const transport = texts.agents.transports[answer.transport] ?? answer.transport;
      this.tested = words.tested(answer.round_trip_ms.toFixed(1), transport);
    });
  }

  private drop(agent: Agent): void {
    this.confirm.ask({
      heading: words.removeSure(agent.name),
      why: words.removeWhy,
      yes: words.remove,
      then: () =>
        this.action.run(async () => {
          await this.hub.client.delete('/api/agents/{agent_id}', { id: agent.id });
          location.hash = linkTo.page('agents');
        }),
    });
  }
}

function limitsOf(agent: Agent): string {
  const always = agent.bandwidth_limit ? `${bytes(agent.bandwidth_limit)}/s` : words.noLimit;
  const hours = agent.bandwidth_timetable.length;
  return hours ? `${always}; ${texts.timetable.entries(hours)}` : always;
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-agent': FfAgent;
  }
}
