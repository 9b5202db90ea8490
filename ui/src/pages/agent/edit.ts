import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';

import type { Agent } from '../../api/types.js';
import '../../components/dialog/dialog.js';
import type { FfDialog } from '../../components/dialog/dialog.js';
import { number } from '../../components/fields/fields.js';
import '../../components/notice/notice.js';
import '../../components/timetable/timetable.js';
import type { FfTimetable } from '../../components/timetable/timetable.js';
import { Action } from '../../data/action.js';
import { MIB } from '../../data/format.js';
import { textOf, words as separated } from '../../data/form.js';
import type { Hub } from '../../data/hub.js';
import { base, controls, forms } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.agent;

/**
 * What people say of an agent, and how much it may move. Call `open`.
 *
 * @event saved - `agent` is as it is now
 */
@customElement('ff-agent-edit')
export class FfAgentEdit extends LitElement {
  static override styles = [
    base,
    controls,
    forms,
    css`
      h3 {
        margin: var(--space-4) 0 0;
        font-size: var(--size);
      }
      h3 + .help {
        margin-bottom: var(--space-3);
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ attribute: false }) agent!: Agent;

  private readonly action = new Action(this);
  @query('ff-dialog') private readonly dialog!: FfDialog;
  @query('form') private readonly form!: HTMLFormElement;
  @query('ff-timetable') private readonly timetable!: FfTimetable;

  override render() {
    const { agent } = this;
    return html`<ff-dialog heading=${words.editTitle(agent.name)} wide>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      <form id="edit" @submit=${this.save}>
        <div class="fields">
          <label
            >${words.name}<input
              name="name"
              required
              maxlength="100"
              autocomplete="off"
              .defaultValue=${agent.name}
          /></label>
          ${number('limit', words.limit, agent.bandwidth_limit ? String(agent.bandwidth_limit / MIB) : '', {
            step: 'any',
            help: words.limitHelp,
          })}
          <label class="all"
            >${words.description}<input
              name="description"
              maxlength="1000"
              autocomplete="off"
              .defaultValue=${agent.description}
          /></label>
          <label class="all"
            >${words.tags}<input name="tags" autocomplete="off" .defaultValue=${agent.tags.join(', ')} /><span
              class="help"
              >${words.tagsHelp}</span
            ></label
          >
        </div>
      </form>
      <h3>${texts.timetable.title}</h3>
      <p class="help">${texts.timetable.agentHelp}</p>
      <ff-timetable .entries=${agent.bandwidth_timetable}></ff-timetable>
      <button slot="buttons" class="primary" form="edit" ?disabled=${this.action.busy}>${words.save}</button>
    </ff-dialog>`;
  }

  open(): void {
    this.action.problem = '';
    this.form.reset();
    this.timetable.reset();
    this.dialog.show();
  }

  private async save(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = new FormData(this.form);
    const limit = Number(textOf(form, 'limit'));
    const timetable = this.timetable.value;
    if (timetable === null) return;
    const body = {
      name: textOf(form, 'name'),
      description: textOf(form, 'description'),
      tags: separated(textOf(form, 'tags')),
      bandwidth_limit: limit > 0 ? Math.round(limit * MIB) : null,
      bandwidth_timetable: timetable,
    };
    const saved = await this.action.run(async () => {
      this.agent = await this.hub.client.patch('/api/agents/{agent_id}', { id: this.agent.id, body });
    });
    if (!saved) return;
    this.dialog.close();
    this.dispatchEvent(new Event('saved'));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-agent-edit': FfAgentEdit;
  }
}
