import { LitElement, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';

import { readable } from '../../api/problem.js';
import type { Job } from '../../api/types.js';
import '../../components/confirm/confirm.js';
import type { FfConfirm } from '../../components/confirm/confirm.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/route/route.js';
import { toneOf } from '../../components/status/status.js';
import '../../components/time/time.js';
import { Action } from '../../data/action.js';
import { Chosen, forEachRow } from '../../data/chosen.js';
import type { Hub } from '../../data/hub.js';
import { Jobs, LastRuns } from '../../data/jobs.js';
import { Keep } from '../../data/keep.js';
import { mayRun } from '../../data/roles.js';
import { linkTo } from '../../data/router.js';
import { base, controls, page, parts, search, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './jobs.styles.js';

const words = texts.jobs;

/** What is moved from where to where, how its last run went, and a button that starts one. */
@customElement('ff-jobs')
export class FfJobs extends LitElement {
  static override styles = [base, controls, search, page, parts, table, styles];

  @property({ attribute: false }) hub!: Hub;

  /** The jobs whose Run was pressed and not answered yet. */
  @state() private starting: readonly number[] = [];
  @state() private problem = '';
  @state() private search = '';
  @state() private tag = '';

  private readonly chosen = new Chosen(() => {
    this.requestUpdate();
  });
  private readonly action = new Action(this);
  @query('ff-confirm') private readonly confirm!: FfConfirm;

  private jobs!: Jobs;
  private runs!: LastRuns;
  private readonly kept = new Keep(this);

  override connectedCallback(): void {
    super.connectedCallback();
    this.jobs = new Jobs(this.hub.client);
    this.runs = new LastRuns(this.hub.client, this.jobs);
    this.kept.set(this.hub.live, [this.jobs, this.runs, this.hub.agentsById]);
  }

  override render() {
    const { items, loaded, problem, hasMore } = this.jobs;
    const wanted = this.wanted(items);
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        <span class="grow"></span>
        ${this.tags(items)}
        <label class="search"
          >${icon('search', 14)}<input
            type="search"
            placeholder=${texts.common.search}
            aria-label=${texts.common.search}
            .value=${this.search}
            @input=${this.find}
        /></label>
        ${
          mayRun(this.hub.session.user)
            ? html`<a class="button primary" href=${linkTo.newJob}>${icon('plus', 14)} ${words.create}</a>`
            : nothing
        }
      </div>
      ${this.problem ? html`<ff-notice kind="error" heading=${this.problem}></ff-notice>` : nothing}
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel">
        ${this.bar(this.chosen.of(wanted))} ${items.length ? this.table(wanted) : this.nothingYet(loaded)}
        ${
          hasMore
            ? html`<div class="more"><button @click=${this.more}>${texts.common.more}</button></div>`
            : nothing
        }
      </div>
      <ff-confirm></ff-confirm>
    `;
  }

  private tags(items: readonly Job[]) {
    const all = [...new Set(items.flatMap(job => job.tags))].sort();
    if (all.length === 0) return nothing;
    return html`<select class="tags" aria-label=${words.tag} @change=${this.chooseTag}>
      <option value="">${words.anyTag}</option>
      ${all.map(tag => html`<option ?selected=${tag === this.tag}>${tag}</option>`)}
    </select>`;
  }

  private chooseTag(event: Event): void {
    this.tag = (event.target as HTMLSelectElement).value;
  }

  /** What can be done to all that are marked. */
  private bar(jobs: readonly Job[]) {
    if (jobs.length === 0) return nothing;
    const { busy } = this.action;
    const all = (
      path: '/api/jobs/{job_id}/run' | '/api/jobs/{job_id}/enable' | '/api/jobs/{job_id}/disable',
    ) => this.each(jobs, job => this.hub.client.post(path, { id: job.id }));
    return html`<div class="bar" role="toolbar" aria-label=${words.chosen(jobs.length)}>
      <strong>${words.chosen(jobs.length)}</strong>
      <button ?disabled=${busy} @click=${() => all('/api/jobs/{job_id}/run')}>
        ${icon('play', 12)} ${words.run}
      </button>
      <button ?disabled=${busy} @click=${() => all('/api/jobs/{job_id}/enable')}>${words.enable}</button>
      <button ?disabled=${busy} @click=${() => all('/api/jobs/{job_id}/disable')}>${words.disable}</button>
      <button
        class="bad"
        ?disabled=${busy}
        @click=${() => {
          this.drop(jobs);
        }}
      >
        ${words.remove}
      </button>
      <span class="grow"></span>
      <button
        class="quiet"
        ?disabled=${busy}
        @click=${() => {
          this.chosen.clear();
        }}
      >
        ${words.clear}
      </button>
    </div>`;
  }

  private drop(jobs: readonly Job[]): void {
    this.confirm.ask({
      heading: words.removeSure(jobs.length),
      why: texts.job.removeWhy,
      yes: words.remove,
      then: () => this.each(jobs, job => this.hub.client.delete('/api/jobs/{job_id}', { id: job.id })),
    });
  }

  private async each(jobs: readonly Job[], work: (job: Job) => Promise<unknown>): Promise<void> {
    await this.action.run(async () => {
      const { failed, why } = await forEachRow(jobs, work, readable);
      await this.jobs.refresh();
      this.problem = failed ? words.failedOf(failed, jobs.length, why) : '';
      this.chosen.clear();
    });
  }

  /** Those that are shown already are searched here, at once; an agent's name and a tag find a job too. */
  private wanted(items: readonly Job[]): readonly Job[] {
    const typed = this.search.toLowerCase().split(/\s+/).filter(Boolean);
    return items.filter(job => {
      if (this.tag && !job.tags.includes(this.tag)) return false;
      const ends = [this.agent(job.source_agent_id), this.agent(job.destination_agent_id)];
      const all = [job.name, job.description, job.source_path, job.destination_path, ...ends, ...job.tags];
      const text = all.join('\n').toLowerCase();
      return typed.every(part => text.includes(part));
    });
  }

  private find(event: InputEvent): void {
    this.search = (event.target as HTMLInputElement).value;
  }

  private nothingYet(loaded: boolean) {
    if (!loaded) return html`<ff-notice kind="loading"></ff-notice>`;
    return html`<ff-notice heading=${words.empty}>${words.emptyWhy}</ff-notice>`;
  }

  private table(items: readonly Job[]) {
    if (items.length === 0)
      return html`<ff-notice heading=${words.noneFound}>${words.noneFoundWhy}</ff-notice>`;
    const may = mayRun(this.hub.session.user);
    const marked = this.chosen.of(items).length;
    return html`<table>
      <thead>
        <tr>
          ${
            may
              ? html`<th class="c-mark">
                  <input
                    type="checkbox"
                    aria-label=${words.chooseAll}
                    .checked=${marked === items.length}
                    .indeterminate=${marked > 0 && marked < items.length}
                    @change=${() => {
                      this.chosen.toggleAll(items);
                    }}
                  />
                </th>`
              : nothing
          }
          <th class="c-name">${words.name}</th>
          <th class="wide">${words.route}</th>
          <th class="c-last wide">${words.last}</th>
          ${may ? html`<th class="c-run"></th>` : nothing}
        </tr>
      </thead>
      <tbody>
        ${repeat(
          items,
          job => job.id,
          job => this.row(job, may),
        )}
      </tbody>
    </table>`;
  }

  private row(job: Job, may: boolean) {
    return html`<tr>
      ${
        may
          ? html`<td class="c-mark">
              <input
                type="checkbox"
                aria-label=${words.choose(job.name)}
                .checked=${this.chosen.has(job.id)}
                @change=${(event: Event) => {
                  this.chosen.set(job.id, (event.target as HTMLInputElement).checked);
                }}
              />
            </td>`
          : nothing
      }
      <td title=${job.name}>
        <div class="cut ${job.enabled ? '' : 'off'}">
          <a class="name" href=${linkTo.job(job.id)}>${job.name}</a>
          ${job.tags.map(tag => html`<span class="tag wide" title=${tag}>${tag}</span>`)}
        </div>
        ${job.enabled ? nothing : html`<ff-status>${words.disabled}</ff-status>`}
        ${job.description ? html`<span class="under cut wide">${job.description}</span>` : nothing}
        <div class="narrow">${this.route(job)}</div>
        <div class="narrow">${this.last(job)}</div>
      </td>
      <td class="wide">${this.route(job)}</td>
      <td class="wide">${this.last(job)}</td>
      ${may ? html`<td class="number">${this.button(job)}</td>` : nothing}
    </tr>`;
  }

  private route(job: Job) {
    return html`<ff-route
      .source=${this.agent(job.source_agent_id)}
      .sourcePath=${job.source_path}
      .destination=${this.agent(job.destination_agent_id)}
      .destinationPath=${job.destination_path}
    ></ff-route>`;
  }

  private agent(id: number): string {
    return this.hub.agentsById.get(id)?.name ?? words.agent(id);
  }

  private last(job: Job) {
    const run = this.runs.of(job.id);
    if (!run) return html`<span class="dim">${words.noRun}</span>`;
    return html`<a class="last" href=${linkTo.run(run.id)} title=${run.reason}>
      <ff-status tone=${toneOf(run.status)}>${texts.runStatuses[run.status]}</ff-status>
      <ff-time class="dim" .at=${run.ended_at ?? run.created_at}></ff-time>
    </a>`;
  }

  private button(job: Job) {
    const busy = this.starting.includes(job.id);
    return html`<button
      aria-label=${words.runOf(job.name)}
      title=${job.enabled ? words.runOf(job.name) : words.disabled}
      ?disabled=${busy || !job.enabled}
      @click=${() => this.start(job)}
    >
      ${icon('play', 12)} ${words.run}
    </button>`;
  }

  private async start(job: Job): Promise<void> {
    this.starting = [...this.starting, job.id];
    this.problem = '';
    try {
      const run = await this.hub.startRun(job.id);
      location.hash = linkTo.run(run.id);
    } catch (error) {
      this.problem = readable(error);
    } finally {
      this.starting = this.starting.filter(id => id !== job.id);
    }
  }

  private async more(): Promise<void> {
    await this.jobs.showMore();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-jobs': FfJobs;
  }
}
