import { LitElement, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import { saving } from '../../components/fields/fields.js';
import '../../components/notice/notice.js';
import { Action } from '../../data/action.js';
import { textOf } from '../../data/form.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { Value } from '../../data/value.js';
import { base, controls, forms, page, part, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';

type Mail = Answer<'get', '/api/settings/mail'>;

const words = texts.mail;

/** How the hub sends mails. */
@customElement('ff-mail')
export class FfMail extends LitElement {
  static override styles = [base, controls, forms, page, parts, part];

  @property({ attribute: false }) hub!: Hub;

  private mail!: Value<Mail>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);

  override connectedCallback(): void {
    super.connectedCallback();
    this.mail = new Value({ read: () => this.hub.client.get('/api/settings/mail') });
    this.kept.set(this.hub.live, [this.mail]);
  }

  override render() {
    const { value, problem } = this.mail;
    return html`<section class="panel">
      <h2>${words.title}</h2>
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      ${value ? this.form(value) : html`<ff-notice kind="loading"></ff-notice>`}
    </section>`;
  }

  private form(mail: Mail) {
    return html`<form class="inside" @submit=${this.change}>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      <div class="fields">
        <label
          >${words.host}<input name="host" autocomplete="off" .defaultValue=${mail.host} /><span class="help"
            >${words.hostHelp}</span
          ></label
        >
        <label
          >${words.port}<input
            name="port"
            type="number"
            min="1"
            max="65535"
            required
            .defaultValue=${String(mail.port)}
        /></label>
        <label
          >${words.security}<select name="security">
            ${Object.entries(words.securities).map(([value, text]) => html`<option value=${value} ?selected=${value === mail.security}>${text}</option>`)}
          </select></label
        >
        <label
          >${words.sender}<input name="sender" type="email" autocomplete="off" .defaultValue=${mail.sender}
        /></label>
        <label>${words.user}<input name="user" autocomplete="off" .defaultValue=${mail.user} /></label>
        <label
          >${words.password}<input name="password" type="password" autocomplete="new-password" /><span
            class="help"
            >${mail.password_set ? words.passwordSet : words.passwordNone}</span
          ></label
        >
        <label class="all"
          >${words.url}<input
            name="hub_url"
            type="url"
            autocomplete="off"
            .defaultValue=${mail.hub_url}
          /><span class="help">${words.urlHelp}</span></label
        >
      </div>
      ${saving(this.action)}
    </form>`;
  }

  private async change(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const element = event.target as HTMLFormElement;
    const form = new FormData(element);
    const text = (name: string) => textOf(form, name);
    const password = form.get('password');
    const body = {
      host: text('host'),
      port: Number(text('port')),
      security: text('security'),
      sender: text('sender'),
      user: text('user'),
      hub_url: text('hub_url'),
      // What is not typed is not changed.
      ...(typeof password === 'string' && password ? { password } : {}),
    };
    await this.action.run(async () => {
      this.mail.take(await this.hub.client.patch('/api/settings/mail', { body }));
      element.reset();
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-mail': FfMail;
  }
}
