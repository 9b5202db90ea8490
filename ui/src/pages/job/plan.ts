import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import type { Job } from '../../api/types.js';
import '../../components/notice/notice.js';
import { Action } from '../../data/action.js';
import { bytes, duration } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { linkTo } from '../../data/router.js';
import { base, controls, page, part, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { CLASSES } from './plan-entries.js';

type Plan = Answer<'get', '/api/plans/{plan_id}'>;

const words = texts.job;
const ASK_MS = 400;

/** What a run would do now, by looking at both sides and doing nothing. */
@customElement('ff-plan')
export class FfPlan extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    parts,
    part,
    css`
      dd {
        font-size: 17px;
        font-weight: 600;
      }
      dd small {
        font-size: var(--size-small);
        font-weight: 400;
        color: var(--text-dim);
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ attribute: false }) job!: Job;

  @state() private plan: Plan | undefined;
  private readonly action = new Action(this);

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.get('job')?.id !== undefined && changed.get('job')?.id !== this.job.id) this.plan = undefined;
  }

  override render() {
    const { busy, problem } = this.action;
    const { plan } = this;
    return html`<section class="panel">
      <h2>
        ${words.planTitle}
        <button title=${words.planWhy} ?disabled=${busy} @click=${this.look}>${words.plan}</button>
      </h2>
      ${problem ? html`<div class="inside"><ff-notice kind="error" heading=${problem}></ff-notice></div>` : nothing}
      ${busy ? html`<ff-notice heading=${words.planning}></ff-notice>` : nothing}
      ${plan && !busy ? this.found(plan) : nothing}
    </section>`;
  }

  private found(plan: Plan) {
    if (plan.status !== 'ready') {
      return html`<div class="inside"><ff-notice kind="error" heading=${plan.reason}></ff-notice></div>`;
    }
    return html`<div class="inside">
      <dl class="facts">
        ${CLASSES.filter(name => plan[name].files > 0 || name === 'new').map(
          name =>
            html`<div>
              <dt>${words.classes[name]}</dt>
              <dd>${plan[name].files.toLocaleString('en')} <small>${bytes(plan[name].bytes)}</small></dd>
            </div>`,
        )}
        ${
          plan.estimated_s === null
            ? nothing
            : html`<div title=${plan.estimate_note}>
                <dt>${words.planTakes}</dt>
                <dd>${duration(plan.estimated_s)}</dd>
              </div>`
        }
      </dl>
      ${plan.warnings.map(warning => html`<p class="dim">${warning}</p>`)}
      ${
        CLASSES.some(name => plan[name].files > 0)
          ? html`<ff-plan-entries
              .hub=${this.hub}
              .planId=${plan.id}
              .classes=${CLASSES.filter(name => plan[name].files > 0)}
            ></ff-plan-entries>`
          : nothing
      }
      <div class="actions">
        <button ?disabled=${!this.job.enabled} @click=${() => this.run(plan)}>${words.planRun}</button>
      </div>
    </div>`;
  }

  private async look(): Promise<void> {
    this.plan = undefined;
    await this.action.run(async () => {
      const { client } = this.hub;
      let plan: Plan = await client.post('/api/jobs/{job_id}/plan', { id: this.job.id });
      while (plan.status === 'planning' && this.isConnected) {
        await new Promise(resolve => setTimeout(resolve, ASK_MS));
        plan = await client.get('/api/plans/{plan_id}', { id: plan.id });
      }
      this.plan = plan;
    });
  }

  private async run(plan: Plan): Promise<void> {
    await this.action.run(async () => {
      const run = await this.hub.client.post('/api/plans/{plan_id}/run', { id: plan.id });
      location.hash = linkTo.run(run.id);
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-plan': FfPlan;
  }
}
