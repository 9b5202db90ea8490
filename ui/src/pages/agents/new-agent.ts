import { LitElement, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { Agent } from '../../api/types.js';
import '../../components/copy/copy.js';
import '../../components/dialog/dialog.js';
import type { FfDialog } from '../../components/dialog/dialog.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/tabs/tabs.js';
import type { FfTabs } from '../../components/tabs/tabs.js';
import { Action } from '../../data/action.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { textOf, words as separated } from '../../data/form.js';
import { powerShellCommand, shellCommand } from '../../data/install.js';
import { base, controls, forms } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './new-agent.styles.js';

const words = texts.agent;

/** From a name to an agent that is online: makes it with its first token, shows the command that installs it, and waits for it. */
@customElement('ff-new-agent')
export class FfNewAgent extends LitElement {
  static override styles = [base, controls, forms, styles];

  @property({ attribute: false }) hub!: Hub;

  @state() private made: { agent: Agent; token: string } | undefined;
  @state() private system: 'linux' | 'windows' = 'linux';

  @query('ff-dialog') private readonly dialog!: FfDialog;
  private readonly action = new Action(this);
  private readonly kept = new Keep(this);

  show(): void {
    this.made = undefined;
    this.kept.set(this.hub.live, [this.hub.agentsById]);
    this.dialog.show();
  }

  override render() {
    const { made } = this;
    const heading = made ? words.madeTitle(made.agent.name) : words.createTitle;
    return html`<ff-dialog
      heading=${heading}
      cancel=${made ? words.close : texts.common.cancel}
      ?wide=${made !== undefined}
      @closed=${this.forget}
    >
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${made ? this.install(made.agent, made.token) : this.form()}
      ${
        made
          ? nothing
          : html`<button slot="buttons" class="primary" ?disabled=${this.action.busy} form="new">
              ${words.make}
            </button>`
      }
    </ff-dialog>`;
  }

  private form() {
    return html`<form id="new" @submit=${this.make}>
      <p class="help">${words.createWhy}</p>
      <div class="fields">
        <label class="all"
          >${words.name}<input name="name" required maxlength="64" autocomplete="off" autofocus
        /></label>
        <label class="all"
          >${words.description}<input name="description" maxlength="500" autocomplete="off"
        /></label>
        <label class="all"
          >${words.tags}<input name="tags" autocomplete="off" /><span class="help"
            >${words.tagsHelp}</span
          ></label
        >
      </div>
    </form>`;
  }

  private install(agent: Agent, token: string) {
    const hub = location.origin;
    const command = this.system === 'linux' ? shellCommand : powerShellCommand;
    const online = this.hub.agentsById.get(agent.id)?.status === 'online';
    return html`
      <p class="help">${words.madeWhy}</p>
      <ff-tabs
        .options=${{ linux: words.linux, windows: words.windows }}
        .value=${this.system}
        @change=${this.choose}
      ></ff-tabs>
      <ff-copy .text=${command(hub, agent.name, token)}></ff-copy>
      <p class="help">${words.roots}</p>
      <label class="token">${words.tokenOnly}<ff-copy .text=${token}></ff-copy></label>
      <p class=${online ? 'state good' : 'state'} role="status">
        ${online ? html`${icon('check')} ${words.connected(agent.name)}` : words.waiting}
      </p>
    `;
  }

  private choose(event: Event): void {
    this.system = (event.target as FfTabs).value as 'linux' | 'windows';
  }

  private async make(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => textOf(form, name);
    await this.action.run(async () => {
      const { client, agentsById } = this.hub;
      const body = { name: text('name'), description: text('description'), tags: separated(text('tags')) };
      const agent = await client.post('/api/agents', { body });
      const { value } = await client.post('/api/tokens', { body: { agent_id: agent.id, name: 'first' } });
      agentsById.apply('agent', agent);
      this.made = { agent, token: value ?? '' };
    });
  }

  /** What was shown once is not kept. */
  private forget(): void {
    this.made = undefined;
    this.renderRoot.querySelector('form')?.reset();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-new-agent': FfNewAgent;
  }
}
