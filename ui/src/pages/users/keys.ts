import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { Key } from '../../api/types.js';
import '../../components/confirm/confirm.js';
import type { FfConfirm } from '../../components/confirm/confirm.js';
import '../../components/copy/copy.js';
import '../../components/dialog/dialog.js';
import type { FfDialog } from '../../components/dialog/dialog.js';
import '../../components/notice/notice.js';
import '../../components/time/time.js';
import { Action } from '../../data/action.js';
import { absolute } from '../../data/format.js';
import { textOf } from '../../data/form.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { Rows } from '../../data/rows.js';
import { base, controls, forms, page, part, parts, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.users;
const SCOPES: Readonly<Record<string, { text: string; scopes: readonly string[] }>> = {
  read: { text: words.readScope, scopes: ['read'] },
  run: { text: words.runScope, scopes: ['read', 'jobs:run', 'runs:control', 'transfers:control'] },
  all: { text: words.allScopes, scopes: ['all'] },
};

/** Keys for scripts: made once, seen once, revoked at any time. */
@customElement('ff-keys')
export class FfKeys extends LitElement {
  static override styles = [
    base,
    controls,
    forms,
    page,
    parts,
    part,
    table,
    css`
      .c-button {
        width: 108px;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;

  @state() private made = '';

  private keys!: Rows<Key>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);
  @query('ff-confirm') private readonly confirm!: FfConfirm;
  @query('ff-dialog') private readonly dialog!: FfDialog;

  override connectedCallback(): void {
    super.connectedCallback();
    const { client, live } = this.hub;
    this.keys = new Rows<Key>({
      read: (limit, cursor) => client.get('/api/keys', { query: { limit, cursor } }),
      event: 'key',
      newest: 'last',
    });
    this.kept.set(live, [this.keys]);
  }

  override render() {
    const { items, problem } = this.keys;
    return html`<section class="panel">
        <h2>${words.keys}<button @click=${this.open}>${words.newKey}</button></h2>
        ${problem ? html`<div class="inside"><ff-notice kind="error" heading=${problem.message}></ff-notice></div>` : nothing}
        ${items.length ? this.table(items) : html`<ff-notice heading=${words.noKeys}>${words.keysWhy}</ff-notice>`}
      </section>
      <ff-dialog
        heading=${this.made ? words.made : words.newKey}
        cancel=${this.made ? texts.common.close : texts.common.cancel}
        @closed=${this.forget}
      >
        ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
        ${
          this.made
            ? html`<p class="dim">${words.madeWhy}</p>
                <ff-copy .text=${this.made}></ff-copy>`
            : this.form()
        }
        ${
          this.made
            ? nothing
            : html`<button slot="buttons" class="primary" ?disabled=${this.action.busy} form="make">
                ${words.create}
              </button>`
        }
      </ff-dialog>
      <ff-confirm></ff-confirm>`;
  }

  private table(keys: readonly Key[]) {
    return html`<table>
      <thead>
        <tr>
          <th>${words.keyName}</th>
          <th class="wide">${words.scopes}</th>
          <th class="wide">${words.used}</th>
          <th>${words.ends}</th>
          <th class="c-button"></th>
        </tr>
      </thead>
      <tbody>
        ${keys.map(
          key =>
            html`<tr>
              <td>
                <div class="cut">${key.name}</div>
                <span class="under cut mono">${key.prefix}…</span>
              </td>
              <td class="wide">${key.scopes.map(scope => html`<span class="tag">${scope}</span>`)}</td>
              <td class="wide"><ff-time .at=${key.last_used_at}></ff-time></td>
              <td>${key.revoked_at ? words.revoked : absolute(key.expires_at)}</td>
              <td class="number">
                ${
                  key.revoked_at
                    ? nothing
                    : html`<button
                        @click=${() => {
                          this.revoke(key);
                        }}
                      >
                        ${words.revoke}
                      </button>`
                }
              </td>
            </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private form() {
    return html`<form id="make" @submit=${this.make}>
      <div class="fields">
        <label class="all">${words.keyName}<input name="name" required autocomplete="off" /></label>
        <label
          >${words.scopes}<select name="scopes">
            ${Object.entries(SCOPES).map(([value, { text }]) => html`<option value=${value}>${text}</option>`)}
          </select></label
        >
        <label>${words.days}<input name="days" type="number" min="1" value="90" required /></label>
      </div>
    </form>`;
  }

  private open(): void {
    this.action.problem = '';
    this.dialog.show();
  }

  private forget(): void {
    this.made = '';
  }

  private async make(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    await this.action.run(async () => {
      const body = {
        name: form.get('name'),
        scopes: SCOPES[textOf(form, 'scopes')]?.scopes,
        expires_in_days: Number(form.get('days')),
      };
      const { value } = await this.hub.client.post('/api/keys', { body });
      this.made = value ?? '';
      await this.keys.refresh();
    });
  }

  private revoke(key: Key): void {
    this.confirm.ask({
      heading: words.revokeSure(key.name),
      why: words.revokeWhy,
      yes: words.revoke,
      then: () =>
        this.action.run(async () => {
          await this.hub.client.delete('/api/keys/{key_id}', { id: key.id });
          await this.keys.refresh();
        }),
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-keys': FfKeys;
  }
}
