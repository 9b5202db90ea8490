import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import type { Match } from '../../api/types.js';
import '../../components/notice/notice.js';
import { Action } from '../../data/action.js';
import { bytes } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { base, controls } from '../../styles/shared.js';
import { texts } from '../../texts.js';

/** What a job would ask its source for. */
export interface Rules {
  agent_id?: number | undefined;
  path?: string;
  include?: readonly string[];
  exclude?: readonly string[];
  recursive?: boolean;
  min_age?: number;
}

const words = texts.edit;
const SHOWN = 12;

/** Tries rules out on what the source agent has now; nothing is moved. */
@customElement('ff-filter-test')
export class FfFilterTest extends LitElement {
  static override styles = [
    base,
    controls,
    css`
      :host {
        margin-top: var(--space-3);
      }
      .line {
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: var(--space-3);
      }
      ul {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr));
        gap: 2px var(--space-4);
        margin: var(--space-2) 0 0;
        padding: 0;
        list-style: none;
        font: 12px / 1.6 var(--mono);
      }
      .out {
        color: var(--text-dim);
        text-decoration: line-through;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ attribute: false }) rules: Rules = {};

  @state() private found: Match | undefined;
  private readonly action = new Action(this);

  override render() {
    const { found } = this;
    const { busy, problem } = this.action;
    return html`
      <div class="line">
        <button
          type="button"
          ?disabled=${busy || !this.rules.agent_id || !this.rules.path}
          @click=${this.test}
        >
          ${words.test}
        </button>
        <span role="status">
          ${found ? words.tested(found.matched, found.files, bytes(found.matched_bytes)) : nothing}
          ${found?.stopped ? html`<span class="dim">(${words.testedStopped})</span>` : nothing}
        </span>
      </div>
      ${problem ? html`<ff-notice kind="error" heading=${problem}></ff-notice>` : nothing}
      ${
        found
          ? html`<ul>
              ${found.matched_sample.slice(0, SHOWN).map(one => html`<li class="cut" title=${one.why}>${one.path}</li>`)}
              ${found.unmatched_sample.slice(0, SHOWN).map(one => html`<li class="cut out" title=${one.why}>${one.path}</li>`)}
            </ul>`
          : nothing
      }
    `;
  }

  private async test(): Promise<void> {
    this.found = undefined;
    await this.action.run(async () => {
      this.found = await this.hub.client.post('/api/jobs/match', { body: this.rules });
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-filter-test': FfFilterTest;
  }
}
