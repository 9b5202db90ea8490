import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import type { Job, JobVersion } from '../../api/types.js';
import '../../components/notice/notice.js';
import '../../components/time/time.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { Value } from '../../data/value.js';
import { base, controls, page, part, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.job;
const FIRST = 50;
const MOST = 200;

/** What was changed about a job, by whom, and from what to what. */
@customElement('ff-job-history')
export class FfJobHistory extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    parts,
    part,
    css`
      ol {
        max-height: 24rem;
        margin: 0;
        padding: 0;
        overflow: auto;
        list-style: none;
      }
      li {
        padding: 9px var(--space-4);
        border-bottom: 1px solid var(--line);
        font-size: 13px;
      }
      li:last-child {
        border-bottom: 0;
      }
      .diff {
        margin: 2px 0 0;
        font: 12px / 1.5 var(--mono);
        overflow-wrap: anywhere;
      }
      del {
        color: var(--bad);
      }
      ins {
        color: var(--good);
        text-decoration: none;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ attribute: false }) job!: Job;

  /** How many are read. */
  @state() private most = FIRST;
  private versions!: Value<JobVersion[]>;
  private readonly kept = new Keep(this);

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('job') && !changed.has('hub')) return;
    const before = changed.get('job');
    if (!changed.has('hub') && before?.id === this.job.id) {
      if (before.version !== this.job.version) void this.versions.refresh().catch(() => undefined);
      return;
    }
    const id = this.job.id;
    this.versions = new Value({
      read: async () =>
        (await this.hub.client.get('/api/jobs/{job_id}/versions', { id, query: { limit: this.most } })).items,
    });
    this.kept.set(this.hub.live, [this.versions]);
  }

  override render() {
    const { value, problem } = this.versions;
    return html`<section class="panel">
      <h2>${words.history}</h2>
      ${
        value
          ? html`<ol tabindex="0">
              ${value.map(version => this.version(version))}
              ${
                this.most < MOST && value.length === this.most
                  ? html`<li><button @click=${this.more}>${texts.common.more}</button></li>`
                  : nothing
              }
            </ol>`
          : html`<ff-notice
              kind=${problem ? 'error' : 'loading'}
              heading=${problem?.message ?? ''}
            ></ff-notice>`
      }
    </section>`;
  }

  private more(): void {
    this.most = MOST;
    void this.versions.refresh().catch(() => undefined);
  }

  private version(version: JobVersion) {
    const changes = Object.entries(version.changes);
    return html`<li>
      <strong>${version.version}</strong>
      <span class="dim">${version.changed_by}, <ff-time .at=${version.changed_at}></ff-time></span>
      ${
        changes.length
          ? changes.map(([name, pair]) => diff(name, pair as readonly [unknown, unknown]))
          : html`<div class="diff dim">${words.made}</div>`
      }
    </li>`;
  }
}

/** A field, what it was and what it became. */
function diff(name: string, [before, after]: readonly [unknown, unknown]) {
  return html`<div class="diff">
    ${name} <del>${JSON.stringify(before)}</del> <ins>${JSON.stringify(after)}</ins>
  </div>`;
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-job-history': FfJobHistory;
  }
}
