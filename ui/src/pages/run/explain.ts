import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import '../../components/dialog/dialog.js';
import type { FfDialog } from '../../components/dialog/dialog.js';
import '../../components/notice/notice.js';
import type { Tone } from '../../components/status/status.js';
import '../../components/status/status.js';
import { Action } from '../../data/action.js';
import { textOf } from '../../data/form.js';
import type { Hub } from '../../data/hub.js';
import { base, controls } from '../../styles/shared.js';
import { texts } from '../../texts.js';

type Explanation = Answer<'get', '/api/runs/{run_id}/explain'>;

const words = texts.run;
const TONES: Record<Explanation['steps'][number]['outcome'], Tone> = {
  ok: 'good',
  no: 'bad',
  note: 'idle',
  unknown: 'warn',
};

/** Why a run sent, skipped, refused or never saw a path, step by step. Open it with `show`. */
@customElement('ff-explain')
export class FfExplain extends LitElement {
  static override styles = [
    base,
    controls,
    css`
      form {
        display: flex;
        align-items: end;
        gap: var(--space-2);
      }
      form label {
        flex: 1;
      }
      form button {
        height: 36px;
      }
      .summary {
        margin: var(--space-4) 0 var(--space-2);
        font-weight: 500;
        overflow-wrap: anywhere;
      }
      ol {
        margin: 0;
        padding: 0;
        list-style: none;
      }
      li {
        display: grid;
        grid-template-columns: 8.5rem minmax(0, 1fr);
        gap: var(--space-3);
        padding: 6px 0;
        border-top: 1px solid var(--line);
        font-size: 13px;
        overflow-wrap: anywhere;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ type: Number }) runId = 0;

  @state() private found: Explanation | undefined;
  private readonly action = new Action(this);
  @query('ff-dialog') private readonly dialog!: FfDialog;

  show(): void {
    this.found = undefined;
    this.dialog.show();
  }

  override render() {
    const { found } = this;
    const { busy, problem } = this.action;
    return html`<ff-dialog heading=${words.explainTitle} cancel=${texts.common.close} wide>
      <form @submit=${this.ask}>
        <label>${words.explainPath}<input name="path" required autocomplete="off" /></label>
        <button class="primary" ?disabled=${busy}>${words.explainAsk}</button>
      </form>
      ${
        problem
          ? html`<p class="summary"></p>
              <ff-notice kind="error" heading=${problem}></ff-notice>`
          : nothing
      }
      ${
        found
          ? html`<p class="summary" role="status">${found.summary}</p>
              <ol>
                ${found.steps.map(
                  step =>
                    html`<li>
                      <span><ff-status tone=${TONES[step.outcome]}>${step.what}</ff-status></span>
                      <span>${step.detail}</span>
                    </li>`,
                )}
              </ol>`
          : nothing
      }
    </ff-dialog>`;
  }

  private async ask(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const path = textOf(new FormData(event.target as HTMLFormElement), 'path');
    this.found = undefined;
    await this.action.run(async () => {
      this.found = await this.hub.client.get('/api/runs/{run_id}/explain', {
        id: this.runId,
        query: { path },
      });
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-explain': FfExplain;
  }
}
