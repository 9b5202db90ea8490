import { LitElement, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import { Problem } from '../../api/problem.js';
import type { Agent, Job } from '../../api/types.js';
import '../../components/browser/browser.js';
import type { FfBrowser } from '../../components/browser/browser.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import { Action } from '../../data/action.js';
import type { Hub } from '../../data/hub.js';
import { MIB } from '../../data/format.js';
import { linesOf, textOf, words as separated } from '../../data/form.js';
import { bodyOfMore } from '../../data/job_fields.js';
import { Keep } from '../../data/keep.js';
import { linkTo } from '../../data/router.js';
import { Rows } from '../../data/rows.js';
import { base, controls, forms, page, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { box, choice, lines, number, section, text } from '../../components/fields/fields.js';
import './filter-test.js';
import type { Rules } from './filter-test.js';
import { styles } from './job-edit.styles.js';
import { more } from './more.js';
import './schedule.js';
import type { FfSchedule } from './schedule.js';

const words = texts.edit;
const AGENTS_MAX = 200;

type End = 'source' | 'destination';

/** A form for a job: a new one, one like another, or one that is there. */
@customElement('ff-job-edit')
export class FfJobEdit extends LitElement {
  static override styles = [base, controls, forms, page, parts, styles];

  @property({ attribute: false }) hub!: Hub;
  /** The job that is changed; none: a new one. */
  @property({ attribute: false }) jobId: number | undefined;
  /** The job that a new one is to be like. */
  @property({ attribute: false }) likeId: number | undefined;

  @state() private model: Job | undefined;
  @state() private ready = false;
  @state() private rules: Rules = {};
  @state() private archiving = false;
  private browsing: End = 'source';

  private agents!: Rows<Agent>;
  private readonly kept = new Keep(this);
  private readonly reading = new Action(this);
  private readonly saving = new Action(this);
  private formShown = false;
  @query('form') private readonly form!: HTMLFormElement | null;
  @query('ff-browser') private readonly browser!: FfBrowser;

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('jobId') && !changed.has('likeId') && !changed.has('hub')) return;
    this.agents = this.hub.agents(AGENTS_MAX);
    this.kept.set(this.hub.live, [this.agents]);
    this.model = undefined;
    this.ready = false;
    this.formShown = false;
    const id = this.jobId ?? this.likeId;
    void this.reading.run(async () => {
      if (id !== undefined) this.model = await this.hub.client.get('/api/jobs/{job_id}', { id });
      this.archiving = this.model?.on_success === 'archive';
      this.ready = true;
    });
  }

  override updated(): void {
    // Once, when the form is there: what it says at first.
    if (this.formShown || this.form === null) return;
    this.formShown = true;
    this.changedRules();
  }

  override render() {
    const title = this.jobId === undefined ? words.titleNew : words.title(this.model?.name ?? '');
    const { problem } = this.reading;
    return html`
      <div class="crumb"><a href=${linkTo.page('jobs')}>${texts.jobs.title}</a> / ${title}</div>
      <div class="head"><h1 class="cut">${title}</h1></div>
      ${problem ? html`<ff-notice kind="error" heading=${problem}></ff-notice>` : nothing}
      ${this.ready && this.agents.loaded ? this.whole() : problem ? nothing : html`<ff-notice kind="loading"></ff-notice>`}
      <ff-browser .hub=${this.hub} choosing @take=${this.taken}></ff-browser>
    `;
  }

  private whole() {
    const { model } = this;
    const isNew = this.jobId === undefined;
    return html`<form @submit=${this.save} @input=${this.changedRules} class="parts" novalidate>
      ${section(
        words.what,
        html`<div class="fields wide">
          ${text('name', words.name, isNew && model ? `${model.name} 2` : (model?.name ?? ''), { required: true, max: 200 })}
          ${text('description', words.description, model?.description ?? '', { max: 1000 })}
          ${this.end('source', words.sourceAgent, words.sourcePath, words.sourcePathHelp)}
          ${this.end('destination', words.destinationAgent, words.destinationPath, words.destinationPathHelp)}
        </div>`,
      )}
      ${section(
        words.which,
        html`<div class="fields">
            ${lines('include', words.include, model?.include ?? [])}
            ${lines('exclude', words.exclude, model?.exclude ?? [])}
            ${number('min_age', words.minAge, String(model?.min_age ?? 0))}
            <div class="boxes">${box('recursive', words.recursive, model?.recursive ?? true)}</div>
          </div>
          <ff-filter-test .hub=${this.hub} .rules=${this.rules}></ff-filter-test>`,
      )}
      ${section(
        words.when,
        html`<ff-schedule
          .hub=${this.hub}
          .cron=${model?.schedule ?? null}
          .zone=${model?.timezone ?? null}
        ></ff-schedule>`,
      )}
      ${section(
        words.how,
        html`<div class="fields">
          ${choice('conflict', words.conflict, words.conflicts, model?.conflict ?? 'overwrite')}
          ${choice('on_success', words.onSuccess, words.onSuccesses, model?.on_success ?? 'keep')}
          ${this.archiving ? text('archive_path', words.archive, model?.archive_path ?? '', { required: true }) : nothing}
          ${choice('verify', words.verify, words.verifies, model?.verify ?? 'chunks')}
          ${choice('compression', words.compression, words.compressions, model?.compression ?? 'auto')}
          ${number('limit', words.limit, model?.bandwidth_limit ? String(model.bandwidth_limit / MIB) : '', {
            step: 'any',
            help: words.limitHelp,
          })}
          ${number('attempts', words.attempts, String(model?.retry.attempts ?? 5), { max: 100 })}
          <label
            >${words.tags}<input name="tags" .defaultValue=${(model?.tags ?? []).join(', ')} /><span
              class="help"
              >${words.tagsHelp}</span
            ></label
          >
          <div class="boxes">${box('enabled', words.enabled, model?.enabled ?? true)}</div>
        </div>`,
      )}
      ${more(model)}
      ${this.saving.problem ? html`<ff-notice kind="error" heading=${this.saving.problem}></ff-notice>` : nothing}
      <div class="actions end">
        <a class="button" href=${this.jobId === undefined ? linkTo.page('jobs') : linkTo.job(this.jobId)}
          >${words.cancel}</a
        >
        ${isNew ? html`<button name="then" value="run" ?disabled=${this.saving.busy}>${words.createRun}</button>` : nothing}
        <button class="primary" ?disabled=${this.saving.busy}>${isNew ? words.create : words.save}</button>
      </div>
    </form>`;
  }

  private end(end: End, agentText: string, pathText: string, help: string) {
    const { model } = this;
    const chosen = end === 'source' ? model?.source_agent_id : model?.destination_agent_id;
    const path = end === 'source' ? model?.source_path : model?.destination_path;
    return html`<div class="end">
      <label
        >${agentText}<select name=${`${end}_agent_id`} required>
          <option value="">${words.choose}</option>
          ${this.agents.items
            .filter(agent => agent.status !== 'revoked' || agent.id === chosen)
            .map(
              agent =>
                html`<option value=${agent.id} ?selected=${agent.id === chosen}>
                  ${agent.name}${agent.status === 'online' ? '' : ` (${texts.agents.statuses[agent.status]})`}
                </option>`,
            )}
        </select></label
      >
      <label
        >${pathText}
        <span class="with"
          ><input name=${`${end}_path`} required .defaultValue=${path ?? ''} autocomplete="off" /><button
            type="button"
            title=${words.browse}
            aria-label=${`${words.browse}: ${pathText}`}
            @click=${() => {
              this.browse(end);
            }}
          >
            ${icon('folder')}
          </button></span
        ><span class="help">${help}</span></label
      >
    </div>`;
  }

  private field(name: string): HTMLInputElement {
    return this.form?.elements.namedItem(name) as HTMLInputElement;
  }

  private browse(end: End): void {
    const select = this.field(`${end}_agent_id`);
    const agent = this.agents.items.find(one => one.id === Number(select.value));
    if (!agent) {
      select.reportValidity();
      return;
    }
    this.browsing = end;
    this.browser.files = end === 'source';
    this.browser.open(agent, this.field(`${end}_path`).value);
  }

  private taken(): void {
    this.field(`${this.browsing}_path`).value = this.browser.path;
    this.changedRules();
  }

  /** What the filter tester goes by. */
  private changedRules(): void {
    if (!this.form) return;
    const form = new FormData(this.form);
    this.archiving = form.get('on_success') === 'archive';
    this.rules = {
      agent_id: Number(form.get('source_agent_id')) || undefined,
      path: textOf(form, 'source_path'),
      include: linesOf(form, 'include'),
      exclude: linesOf(form, 'exclude'),
      recursive: form.has('recursive'),
      min_age: Number(form.get('min_age')),
    };
  }

  private body(form: FormData): Record<string, unknown> {
    const { model } = this;
    const value = (name: string) => textOf(form, name);
    const schedule = this.renderRoot.querySelector<FfSchedule>('ff-schedule');
    const limit = Number(value('limit'));
    return {
      name: value('name'),
      description: value('description'),
      source_agent_id: Number(value('source_agent_id')),
      source_path: value('source_path'),
      destination_agent_id: Number(value('destination_agent_id')),
      destination_path: value('destination_path'),
      include: linesOf(form, 'include'),
      exclude: linesOf(form, 'exclude'),
      min_age: Number(value('min_age')),
      recursive: form.has('recursive'),
      schedule: schedule?.cron ?? null,
      timezone: schedule?.zone ?? 'UTC',
      conflict: value('conflict'),
      on_success: value('on_success'),
      archive_path: this.archiving ? value('archive_path') : '',
      verify: value('verify'),
      compression: value('compression'),
      bandwidth_limit: limit > 0 ? Math.round(limit * MIB) : null,
      retry: {
        ...model?.retry,
        attempts: Number(value('attempts')),
        delay: Number(value('retry_delay')),
      },
      tags: separated(value('tags')),
      enabled: form.has('enabled'),
      ...bodyOfMore(form, model),
    };
  }

  private async save(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    if (!this.form?.checkValidity()) {
      // What is folded away cannot be shown where it is wrong.
      const folded = this.form?.querySelector('details');
      if (folded?.querySelector(':invalid')) folded.open = true;
      this.form?.reportValidity();
      this.saving.problem = words.required;
      this.requestUpdate();
      return;
    }
    const body = this.body(new FormData(this.form));
    const thenRun = (event.submitter as HTMLButtonElement | null)?.value === 'run';
    await this.saving.run(async () => {
      const job = await this.send(body);
      location.hash = thenRun ? linkTo.run((await this.hub.startRun(job.id)).id) : linkTo.job(job.id);
    });
  }

  private async send(body: Record<string, unknown>): Promise<Job> {
    const { client } = this.hub;
    const { model, jobId } = this;
    if (jobId !== undefined && model) {
      try {
        return await client.patch('/api/jobs/{job_id}', { id: jobId, body, version: model.version });
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== 'version_conflict') throw error;
        throw new Problem(words.unsaved, error.status, error.code);
      }
    }
    return client.post('/api/jobs', { body: model ? { type: model.type, ...body } : body });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-job-edit': FfJobEdit;
  }
}
