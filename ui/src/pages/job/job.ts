import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import type { Job } from '../../api/types.js';
import '../../components/confirm/confirm.js';
import type { FfConfirm } from '../../components/confirm/confirm.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/route/route.js';
import '../../components/status/status.js';
import '../../components/time/time.js';
import { fact } from '../../components/fact/fact.js';
import { Action } from '../../data/action.js';
import { absolute, bytes } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { mayRun } from '../../data/roles.js';
import { linkTo } from '../../data/router.js';
import { Value } from '../../data/value.js';
import { base, controls, page, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import './history.js';
import './job-runs.js';
import './plan.js';
import './text.js';

type Watch = Answer<'get', '/api/jobs/{job_id}/watch'>;

const words = texts.job;

/** One job: what it does and when, what it would do now, its runs, its changes, and the same in other words. */
@customElement('ff-job')
export class FfJob extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    parts,
    css`
      .about {
        margin-bottom: var(--space-3);
        overflow-wrap: anywhere;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ type: Number }) jobId = 0;

  private job!: Value<Job>;
  private watch!: Value<Watch>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);
  @query('ff-confirm') private readonly confirm!: FfConfirm;

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('jobId') && !changed.has('hub')) return;
    const { client, live, agentsById } = this.hub;
    const id = this.jobId;
    this.job = new Value({ read: () => client.get('/api/jobs/{job_id}', { id }), events: ['job', 'run'] });
    this.watch = new Value({
      read: () => client.get('/api/jobs/{job_id}/watch', { id }),
      events: ['job', 'run', 'agent'],
    });
    this.kept.set(live, [this.job, this.watch, agentsById]);
  }

  override render() {
    const { value: job, problem } = this.job;
    if (!job) {
      return problem
        ? html`<ff-notice heading=${problem.message}
            ><a href=${linkTo.page('jobs')}>${texts.jobs.title}</a></ff-notice
          >`
        : html`<ff-notice kind="loading"></ff-notice>`;
    }
    return html`
      <div class="crumb"><a href=${linkTo.page('jobs')}>${texts.jobs.title}</a> / ${job.name}</div>
      <div class="head">
        <h1 class="cut" title=${job.name}>${job.name}</h1>
        ${job.enabled ? nothing : html`<ff-status title=${words.disabledWhy}>${texts.jobs.disabled}</ff-status>`}
        <span class="grow"></span>
        ${mayRun(this.hub.session.user) ? this.buttons(job) : nothing}
      </div>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="parts">
        <section class="panel">
          <div class="inside">
            ${job.description ? html`<p class="about">${job.description}</p>` : nothing}
            <ff-route
              .source=${this.agent(job.source_agent_id)}
              .sourcePath=${job.source_path}
              .destination=${this.agent(job.destination_agent_id)}
              .destinationPath=${job.destination_path}
            ></ff-route>
          </div>
          <div class="inside">${this.facts(job)}</div>
        </section>
        ${mayRun(this.hub.session.user) ? html`<ff-plan .hub=${this.hub} .job=${job}></ff-plan>` : nothing}
        <ff-job-runs .hub=${this.hub} .jobId=${job.id}></ff-job-runs>
        <div class="two">
          <ff-job-text
            .job=${job}
            .source=${this.agent(job.source_agent_id)}
            .destination=${this.agent(job.destination_agent_id)}
          ></ff-job-text>
          <ff-job-history .hub=${this.hub} .job=${job}></ff-job-history>
        </div>
      </div>
      <ff-confirm></ff-confirm>
    `;
  }

  private buttons(job: Job) {
    const { busy } = this.action;
    return html`
      <button class="primary" ?disabled=${busy || !job.enabled} @click=${() => this.start(job)}>
        ${icon('play', 12)} ${texts.jobs.run}
      </button>
      <a class="button" href=${linkTo.editJob(job.id)}>${words.edit}</a>
      <a class="button" href=${linkTo.jobLike(job.id)}>${words.copy}</a>
      <button ?disabled=${busy} @click=${() => this.switch(job)}>
        ${job.enabled ? words.disable : words.enable}
      </button>
      <button
        class="bad"
        ?disabled=${busy}
        @click=${() => {
          this.drop(job);
        }}
      >
        ${words.remove}
      </button>
    `;
  }

  private facts(job: Job) {
    const rules = [...job.include.map(rule => `+ ${rule}`), ...job.exclude.map(rule => `− ${rule}`)].join(
      '  ',
    );
    return html`<dl class="facts">
      ${fact(words.schedule, job.schedule ? `${job.schedule} (${job.timezone})` : words.byHand)}
      ${
        job.next_run
          ? html`<div>
              <dt>${words.next}</dt>
              <dd title=${absolute(job.next_run)}><ff-time future .at=${job.next_run}></ff-time></dd>
            </div>`
          : nothing
      }
      ${fact(words.rules, rules || words.rulesAll)}
      ${fact(words.conflict, texts.edit.conflicts[job.conflict])}
      ${fact(words.onSuccess, texts.edit.onSuccesses[job.on_success])}
      ${fact(words.verify, texts.edit.verifies[job.verify])}
      ${fact(words.compression, texts.edit.compressions[job.compression])}
      ${fact(words.retries, words.retriesOf(job.retry.attempts, job.retry.delay))}
      ${fact(words.limit, job.bandwidth_limit ? `${bytes(job.bandwidth_limit)}/s` : words.noLimit)}
      ${fact(words.version, words.changed(job.version, job.created_by))}
      ${job.watch ? this.watched() : nothing}
      ${
        job.tags.length
          ? html`<div>
              <dt>${texts.agents.tags}</dt>
              <dd>${job.tags.map(tag => html`<span class="tag" title=${tag}>${tag}</span>`)}</dd>
            </div>`
          : nothing
      }
    </dl>`;
  }

  private watched() {
    const { value } = this.watch;
    if (!value) return nothing;
    const state = words.watchStates[value.status] ?? value.status;
    return fact(words.watch, value.reason ? `${state}: ${value.reason}` : state);
  }

  private agent(id: number): string {
    return this.hub.agentsById.get(id)?.name ?? texts.jobs.agent(id);
  }

  private async start(job: Job): Promise<void> {
    await this.action.run(async () => {
      const run = await this.hub.startRun(job.id);
      location.hash = linkTo.run(run.id);
    });
  }

  private async switch(job: Job): Promise<void> {
    const path = job.enabled ? '/api/jobs/{job_id}/disable' : '/api/jobs/{job_id}/enable';
    await this.action.run(async () => {
      this.job.take(await this.hub.client.post(path, { id: job.id }));
    });
  }

  private drop(job: Job): void {
    this.confirm.ask({
      heading: words.removeSure(job.name),
      why: words.removeWhy,
      yes: words.remove,
      then: () =>
        this.action.run(async () => {
          await this.hub.client.delete('/api/jobs/{job_id}', { id: job.id });
          location.hash = linkTo.page('jobs');
        }),
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-job': FfJob;
  }
}
