import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import type { Agent } from '../../api/types.js';
import '../../components/notice/notice.js';
import type { Tone } from '../../components/status/status.js';
import '../../components/status/status.js';
import { Action } from '../../data/action.js';
import type { Hub } from '../../data/hub.js';
import { base, controls, page, part, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';

type Doctor = Answer<'post', '/api/agents/{agent_id}/doctor'>;
type Check = Doctor['checks'][number];

const words = texts.agent;
const TONES: Record<Check['status'], Tone> = { ok: 'good', warn: 'warn', fail: 'bad', skipped: 'idle' };

/** What an agent finds when it examines itself, its way to the hub and its folders. */
@customElement('ff-agent-doctor')
export class FfAgentDoctor extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    parts,
    part,
    css`
      ul {
        margin: 0;
        padding: 0;
        list-style: none;
      }
      li {
        display: grid;
        grid-template-columns: 92px minmax(0, 1fr);
        gap: var(--space-3);
        padding: 9px var(--space-4);
        border-bottom: 1px solid var(--line);
        font-size: 13px;
        overflow-wrap: anywhere;
      }
      li:last-child {
        border-bottom: 0;
      }
      .advice {
        color: var(--text-dim);
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ attribute: false }) agent!: Agent;

  @state() private found: Doctor | undefined;
  private readonly action = new Action(this);

  override render() {
    const { busy, problem } = this.action;
    const away = this.agent.status !== 'online';
    return html`<section class="panel">
      <h2>
        ${words.doctorTitle}
        <button ?disabled=${busy || away} @click=${this.examine}>${words.doctor}</button>
      </h2>
      ${problem ? html`<div class="inside"><ff-notice kind="error" heading=${problem}></ff-notice></div>` : nothing}
      ${busy ? html`<ff-notice heading=${words.doctorBusy}></ff-notice>` : nothing}
      ${
        this.found && !busy
          ? html`<ul>
              ${this.found.checks.map(check => this.check(check))}
            </ul>`
          : nothing
      }
    </section>`;
  }

  private check(check: Check) {
    return html`<li>
      <span><ff-status tone=${TONES[check.status]}>${check.status}</ff-status></span>
      <span>
        <strong>${check.name}</strong> ${check.found}
        ${check.advice ? html`<div class="advice">${check.advice}</div>` : nothing}
      </span>
    </li>`;
  }

  private async examine(): Promise<void> {
    await this.action.run(async () => {
      this.found = await this.hub.client.post('/api/agents/{agent_id}/doctor', { id: this.agent.id });
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-agent-doctor': FfAgentDoctor;
  }
}
