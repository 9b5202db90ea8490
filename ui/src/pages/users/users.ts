import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';

import type { Role, UserRow } from '../../api/types.js';
import '../../components/confirm/confirm.js';
import type { FfConfirm } from '../../components/confirm/confirm.js';
import '../../components/dialog/dialog.js';
import type { FfDialog } from '../../components/dialog/dialog.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/time/time.js';
import { Action } from '../../data/action.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { Rows } from '../../data/rows.js';
import { base, controls, forms, page, parts, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import './keys.js';

const words = texts.users;

/** Who may use this hub, as what, and with which keys. */
@customElement('ff-users')
export class FfUsers extends LitElement {
  static override styles = [
    base,
    controls,
    forms,
    page,
    parts,
    table,
    css`
      .c-role {
        width: 148px;
      }
      .c-buttons {
        width: 190px;
      }
      td select {
        margin: 0;
        height: 30px;
      }
      .off {
        color: var(--text-dim);
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;

  private users!: Rows<UserRow>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);
  @query('ff-confirm') private readonly confirm!: FfConfirm;
  @query('ff-dialog') private readonly dialog!: FfDialog;

  override connectedCallback(): void {
    super.connectedCallback();
    const { client, live } = this.hub;
    this.users = new Rows<UserRow>({
      read: (limit, cursor) => client.get('/api/users', { query: { limit, cursor } }),
      event: 'user',
      newest: 'last',
    });
    this.kept.set(live, [this.users]);
  }

  override render() {
    const { items, problem, loaded, hasMore } = this.users;
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        <span class="grow"></span>
        <button class="primary" @click=${this.open}>${icon('plus', 14)} ${words.add}</button>
      </div>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="parts">
        <section class="panel">
          ${loaded ? this.table(items) : html`<ff-notice kind="loading"></ff-notice>`}
          ${hasMore ? html`<div class="more"><button @click=${() => this.users.showMore()}>${texts.common.more}</button></div>` : nothing}
        </section>
        <ff-keys .hub=${this.hub}></ff-keys>
      </div>
      ${this.form()}
      <ff-confirm></ff-confirm>
    `;
  }

  private table(items: readonly UserRow[]) {
    return html`<table>
      <thead>
        <tr>
          <th>${words.email}</th>
          <th class="c-role">${words.role}</th>
          <th class="wide">${words.last}</th>
          <th class="c-buttons wide"></th>
        </tr>
      </thead>
      <tbody>
        ${items.map(user => this.row(user))}
      </tbody>
    </table>`;
  }

  private row(user: UserRow) {
    const me = user.id === this.hub.session.user?.id;
    return html`<tr>
      <td>
        <div class="cut ${user.disabled ? 'off' : ''}"><strong>${user.email}</strong></div>
        <span class="under cut">${user.name}${user.disabled ? ` · ${words.disabled}` : ''}</span>
      </td>
      <td>
        <select
          aria-label=${`${words.role}: ${user.email}`}
          ?disabled=${me || this.action.busy}
          @change=${(event: Event) => this.change(user, { role: (event.target as HTMLSelectElement).value })}
        >
          ${roles().map(([role, text]) => html`<option value=${role} ?selected=${role === user.role}>${text}</option>`)}
        </select>
      </td>
      <td class="wide"><ff-time .at=${user.last_login_at}></ff-time></td>
      <td class="number wide">
        ${
          me
            ? nothing
            : html`<button
                  ?disabled=${this.action.busy}
                  @click=${() => this.change(user, { disabled: !user.disabled })}
                >
                  ${user.disabled ? words.enable : words.disable}
                </button>
                <button
                  class="bad"
                  ?disabled=${this.action.busy}
                  @click=${() => {
                    this.drop(user);
                  }}
                >
                  ${words.remove}
                </button>`
        }
      </td>
    </tr>`;
  }

  private form() {
    return html`<ff-dialog heading=${words.add}>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      <form id="add" @submit=${this.add}>
        <div class="fields">
          <label>${words.email}<input name="email" type="email" required autocomplete="off" /></label>
          <label>${words.name}<input name="name" required autocomplete="off" /></label>
          <label
            >${words.role}<select name="role">
              ${roles().map(
                ([role, text]) =>
                  html`<option value=${role} ?selected=${role === 'operator'}>
                    ${text}: ${words.rolesWhy[role]}
                  </option>`,
              )}
            </select></label
          >
          <label
            >${words.password}<input
              name="password"
              type="password"
              required
              autocomplete="new-password"
            /><span class="help">${words.passwordHelp}</span></label
          >
        </div>
      </form>
      <button slot="buttons" class="primary" ?disabled=${this.action.busy} form="add">${words.create}</button>
    </ff-dialog>`;
  }

  private open(): void {
    this.action.problem = '';
    this.dialog.show();
  }

  private async add(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const form = event.target as HTMLFormElement;
    const body = Object.fromEntries(new FormData(form));
    const worked = await this.action.run(async () => {
      await this.hub.client.post('/api/users', { body });
      await this.users.refresh();
    });
    if (!worked) return;
    form.reset();
    this.dialog.close();
  }

  private async change(user: UserRow, body: { role?: string; disabled?: boolean }): Promise<void> {
    await this.action.run(async () => {
      try {
        await this.hub.client.patch('/api/users/{user_id}', { id: user.id, body });
      } finally {
        await this.users.refresh();
      }
    });
  }

  private drop(user: UserRow): void {
    this.confirm.ask({
      heading: words.removeSure(user.email),
      why: words.removeWhy,
      yes: words.remove,
      then: () =>
        this.action.run(async () => {
          await this.hub.client.delete('/api/users/{user_id}', { id: user.id });
          await this.users.refresh();
        }),
    });
  }
}

function roles(): [Role, string][] {
  return Object.entries(texts.shell.roles) as [Role, string][];
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-users': FfUsers;
  }
}
