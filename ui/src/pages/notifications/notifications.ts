import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import '../../components/confirm/confirm.js';
import type { FfConfirm } from '../../components/confirm/confirm.js';
import '../../components/copy/copy.js';
import '../../components/dialog/dialog.js';
import type { FfDialog } from '../../components/dialog/dialog.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/status/status.js';
import { Action } from '../../data/action.js';
import type { Hub } from '../../data/hub.js';
import { textOf, words as separated } from '../../data/form.js';
import { Keep } from '../../data/keep.js';
import { Rows } from '../../data/rows.js';
import { base, controls, forms, page, parts, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import './deliveries.js';

type Target = Answer<'get', '/api/notifications'>['items'][number];

const words = texts.notifications;

/** Who is told of what, and whether that arrives. */
@customElement('ff-notifications')
export class FfNotifications extends LitElement {
  static override styles = [
    base,
    controls,
    forms,
    page,
    parts,
    table,
    css`
      .c-state {
        width: 130px;
      }
      .c-buttons {
        width: 390px;
      }
      tr[aria-selected='true'] td {
        background: var(--hover);
      }
      fieldset {
        margin: 0;
        padding: 0;
        border: 0;
      }
      legend {
        padding: 0;
        font-size: 13px;
        font-weight: 500;
      }
      fieldset div {
        display: grid;
        grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr));
        gap: var(--space-1) var(--space-3);
        margin-top: var(--space-1);
      }
      fieldset label {
        font-weight: 400;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;

  @state() private kind: Target['kind'] = 'webhook';
  @state() private secret = '';
  /** What the form changes; none: it makes a new one. */
  @state() private editing: Target | undefined;
  @state() private selected: number | undefined;

  private targets!: Rows<Target>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);
  @query('ff-confirm') private readonly confirm!: FfConfirm;
  @query('ff-dialog') private readonly dialog!: FfDialog;

  override connectedCallback(): void {
    super.connectedCallback();
    const { client, live } = this.hub;
    this.targets = new Rows<Target>({
      read: (limit, cursor) => client.get('/api/notifications', { query: { limit, cursor } }),
      event: 'notification',
      newest: 'last',
    });
    this.kept.set(live, [this.targets]);
  }

  override render() {
    const { items, problem, loaded } = this.targets;
    const shown = items.find(target => target.id === this.selected) ?? items[0];
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        <span class="grow"></span>
        <button
          class="primary"
          @click=${() => {
            this.open(undefined);
          }}
        >
          ${icon('plus', 14)} ${words.add}
        </button>
      </div>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="parts">
        <section class="panel">
          ${
            items.length
              ? this.table(items, shown)
              : html`<ff-notice kind=${loaded ? 'empty' : 'loading'} heading=${words.empty}
                  >${words.emptyWhy}</ff-notice
                >`
          }
        </section>
        ${shown ? html`<ff-deliveries .hub=${this.hub} .targetId=${shown.id} .name=${shown.name}></ff-deliveries>` : nothing}
      </div>
      ${this.form()}
      <ff-confirm></ff-confirm>
    `;
  }

  private table(items: readonly Target[], shown: Target | undefined) {
    return html`<table>
      <thead>
        <tr>
          <th>${words.name}</th>
          <th class="wide">${words.events}</th>
          <th class="c-state">${words.state}</th>
          <th class="c-buttons wide"></th>
        </tr>
      </thead>
      <tbody>
        ${items.map(
          target =>
            html`<tr
              aria-selected=${target.id === shown?.id ? 'true' : 'false'}
              @click=${() => {
                this.selected = target.id;
              }}
            >
              <td>
                <div class="cut"><strong>${target.name}</strong></div>
                <span class="under cut"
                  >${target.kind === 'webhook' ? target.url : target.addresses.join(', ')}</span
                >
              </td>
              <td class="wide">${target.events.map(event => html`<span class="tag">${event}</span>`)}</td>
              <td>
                <ff-status
                  tone=${target.enabled ? (target.failures ? 'warn' : 'good') : 'idle'}
                  title=${target.disabled_reason}
                  >${target.enabled ? words.enabled : words.disabled}</ff-status
                >
                ${target.failures ? html`<span class="under">${words.failing(target.failures)}</span>` : nothing}
              </td>
              <td class="number wide">
                <button ?disabled=${this.action.busy} @click=${() => this.test(target)}>${words.test}</button>
                <button
                  @click=${() => {
                    this.open(target);
                  }}
                >
                  ${words.edit}
                </button>
                <button ?disabled=${this.action.busy} @click=${() => this.switch(target)}>
                  ${target.enabled ? words.off : words.on}
                </button>
                <button
                  class="bad"
                  @click=${() => {
                    this.drop(target);
                  }}
                >
                  ${words.remove}
                </button>
              </td>
            </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private form() {
    const { secret } = this;
    return html`<ff-dialog
      heading=${secret ? words.secretTitle : this.editing ? words.editTitle(this.editing.name) : words.add}
      cancel=${secret ? texts.common.close : texts.common.cancel}
      @closed=${this.forget}
    >
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${
        secret
          ? html`<p class="dim">${words.secretWhy}</p>
              <ff-copy .text=${secret}></ff-copy>`
          : this.fields()
      }
      ${secret ? nothing : html`<button slot="buttons" class="primary" ?disabled=${this.action.busy} form="add">${this.editing ? words.save : words.create}</button>`}
    </ff-dialog>`;
  }

  private fields() {
    const { editing } = this;
    return html`<form id="add" @submit=${this.add}>
      <div class="fields">
        <label
          >${words.name}<input name="name" required autocomplete="off" .value=${editing?.name ?? ''}
        /></label>
        <label
          >${words.kind}<select name="kind" ?disabled=${editing !== undefined} @change=${this.choose}>
            ${Object.entries(words.kinds).map(([kind, text]) => html`<option value=${kind} ?selected=${kind === this.kind}>${text}</option>`)}
          </select></label
        >
        ${
          this.kind === 'webhook'
            ? html`<label class="all"
                >${words.url}<input name="url" type="url" required .value=${editing?.url ?? ''} /><span
                  class="help"
                  >${words.urlHelp}</span
                ></label
              >`
            : html`<label class="all"
                >${words.addresses}<input
                  name="addresses"
                  required
                  .value=${editing?.addresses.join(', ') ?? ''}
                /><span class="help">${words.addressesHelp}</span></label
              >`
        }
        <fieldset class="all">
          <legend>${words.events}</legend>
          <div>
            ${Object.entries(words.eventsWords).map(
              ([event, text], index) =>
                html`<label class="check"
                  ><input
                    type="checkbox"
                    name="events"
                    value=${event}
                    .checked=${editing ? (editing.events as readonly string[]).includes(event) : index < 2}
                  />${text}</label
                >`,
            )}
          </div>
        </fieldset>
      </div>
    </form>`;
  }

  private choose(event: Event): void {
    this.kind = (event.target as HTMLSelectElement).value as Target['kind'];
  }

  private open(target: Target | undefined): void {
    this.action.problem = '';
    this.editing = target;
    if (target) this.kind = target.kind;
    this.dialog.show();
  }

  private forget(): void {
    this.secret = '';
  }

  private async add(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const webhook = this.kind === 'webhook';
    const { editing } = this;
    const fields = {
      name: form.get('name'),
      events: form.getAll('events'),
      ...(webhook ? { url: form.get('url') } : { addresses: separated(textOf(form, 'addresses')) }),
    };
    const worked = await this.action.run(async () => {
      if (editing) {
        await this.hub.client.patch('/api/notifications/{target_id}', { id: editing.id, body: fields });
      } else {
        const body = { ...fields, kind: this.kind, enabled: true };
        const made = await this.hub.client.post('/api/notifications', { body });
        this.secret = made.value ?? '';
        this.selected = made.notification.id;
      }
      await this.targets.refresh();
    });
    if (worked && !this.secret) this.dialog.close();
  }

  private async switch(target: Target): Promise<void> {
    const body = { enabled: !target.enabled };
    await this.action.run(async () => {
      await this.hub.client.patch('/api/notifications/{target_id}', { id: target.id, body });
      await this.targets.refresh();
    });
  }

  private async test(target: Target): Promise<void> {
    this.selected = target.id;
    await this.action.run(() =>
      this.hub.client.post('/api/notifications/{target_id}/test', { id: target.id }),
    );
    this.renderRoot.querySelector('ff-deliveries')?.refresh();
  }

  private drop(target: Target): void {
    this.confirm.ask({
      heading: words.removeSure(target.name),
      why: words.removeWhy,
      yes: words.remove,
      then: () =>
        this.action.run(async () => {
          await this.hub.client.delete('/api/notifications/{target_id}', { id: target.id });
          await this.targets.refresh();
        }),
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-notifications': FfNotifications;
  }
}
