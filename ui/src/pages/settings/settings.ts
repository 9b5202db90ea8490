import { LitElement, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import type { Settings } from '../../api/types.js';
import { number, saving } from '../../components/fields/fields.js';
import '../../components/notice/notice.js';
import { Action } from '../../data/action.js';
import { linesOf } from '../../data/form.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { Value } from '../../data/value.js';
import { base, controls, forms, page, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';

import './limits.js';
import type { FfHubLimits } from './limits.js';
import './mail.js';

const words = texts.settings;
const historyDays = { required: true, help: words.historyHelp };

/** What holds for the whole hub. */
@customElement('ff-settings')
export class FfSettings extends LitElement {
  static override styles = [base, controls, forms, page, parts];

  @property({ attribute: false }) hub!: Hub;

  private settings!: Value<Settings>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);

  override connectedCallback(): void {
    super.connectedCallback();
    this.settings = new Value({ read: () => this.hub.client.get('/api/settings') });
    this.kept.set(this.hub.live, [this.settings]);
  }

  override render() {
    const { value, problem } = this.settings;
    return html`
      <div class="head"><h1>${words.title}</h1></div>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      ${value ? this.whole(value) : html`<ff-notice kind="loading"></ff-notice>`}
    `;
  }

  private whole(settings: Settings) {
    return html`<div class="parts">
      <section class="panel">
        <form class="inside" @submit=${this.change}>
          <div class="fields">
            <label class="all"
              >${words.site}<input name="site_name" .defaultValue=${settings.site_name} maxlength="100"
            /></label>
            ${number('history_days', words.history, String(settings.history_days), historyDays)}
            ${number('history_failed_days', words.historyFailed, String(settings.history_failed_days), historyDays)}
            ${number('max_key_days', words.keyDays, String(settings.max_key_days), {
              min: 1,
              required: true,
            })}
            ${number('default_token_days', words.tokenDays, String(settings.default_token_days ?? ''), {
              min: 1,
              help: words.tokenDaysHelp,
            })}
            <label class="all"
              >${words.webhooks}<textarea
                name="webhook_allow"
                rows="2"
                spellcheck="false"
                .defaultValue=${settings.webhook_allow.join('\n')}
              ></textarea
              ><span class="help">${words.webhooksHelp}</span></label
            >
          </div>
          ${saving(this.action)}
        </form>
      </section>
      <ff-hub-limits .hub=${this.hub} .settings=${settings} @saved=${this.limited}></ff-hub-limits>
      <ff-mail .hub=${this.hub}></ff-mail>
      <section class="panel">
        <h2>${words.about}</h2>
        <dl class="facts inside">
          <div>
            <dt>${words.version}</dt>
            <dd>${settings.version}</dd>
          </div>
          <div>
            <dt>${words.database}</dt>
            <dd>${words.databases[settings.database]}</dd>
          </div>
          <div>
            <dt>${words.tls}</dt>
            <dd>${settings.tls ? words.yes : words.no}</dd>
          </div>
        </dl>
      </section>
    </div>`;
  }

  private limited(event: Event): void {
    this.settings.take((event.target as FfHubLimits).settings);
  }

  private async change(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const daysOf = (name: string) => Number(form.get(name));
    const body = {
      site_name: form.get('site_name'),
      history_days: daysOf('history_days'),
      history_failed_days: daysOf('history_failed_days'),
      max_key_days: daysOf('max_key_days'),
      webhook_allow: linesOf(form, 'webhook_allow'),
      default_token_days: form.get('default_token_days') ? daysOf('default_token_days') : null,
    };
    await this.action.run(async () => {
      this.settings.take(await this.hub.client.patch('/api/settings', { body }));
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-settings': FfSettings;
  }
}
