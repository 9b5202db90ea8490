import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { Agent, Token } from '../../api/types.js';
import '../../components/confirm/confirm.js';
import type { FfConfirm } from '../../components/confirm/confirm.js';
import '../../components/copy/copy.js';
import '../../components/dialog/dialog.js';
import type { FfDialog } from '../../components/dialog/dialog.js';
import '../../components/notice/notice.js';
import '../../components/time/time.js';
import { Action } from '../../data/action.js';
import { absolute } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { mayManage } from '../../data/roles.js';
import { Value } from '../../data/value.js';
import { base, controls, page, part, parts, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.agent;
const TOKENS_MAX = 100;

/** With what an agent may connect. */
@customElement('ff-agent-tokens')
export class FfAgentTokens extends LitElement {
  static override styles = [
    base,
    controls,
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
  @property({ attribute: false }) agent!: Agent;

  @state() private made = '';

  private tokens!: Value<Token[]>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);
  @query('ff-confirm') private readonly confirm!: FfConfirm;
  @query('ff-dialog') private readonly dialog!: FfDialog;

  override willUpdate(changed: PropertyValues<this>): void {
    if (changed.get('agent')?.id === this.agent.id || (!changed.has('agent') && !changed.has('hub'))) return;
    const { client, live } = this.hub;
    const query = { agent_id: this.agent.id, limit: TOKENS_MAX };
    this.tokens = new Value({ read: async () => (await client.get('/api/tokens', { query })).items });
    this.kept.set(live, [this.tokens]);
  }

  override render() {
    const may = mayManage(this.hub.session.user);
    const { value } = this.tokens;
    return html`<section class="panel">
        <h2>
          ${words.tokens}
          ${may ? html`<button ?disabled=${this.action.busy} @click=${this.make}>${words.newToken}</button>` : nothing}
        </h2>
        ${this.action.problem ? html`<div class="inside"><ff-notice kind="error" heading=${this.action.problem}></ff-notice></div>` : nothing}
        ${value?.length ? this.table(value, may) : html`<ff-notice heading=${words.noTokens}></ff-notice>`}
      </section>
      <ff-dialog heading=${words.newTokenTitle} cancel=${texts.common.close} @closed=${this.forget}>
        <p class="dim">${words.newTokenWhy}</p>
        <ff-copy .text=${this.made}></ff-copy>
      </ff-dialog>
      <ff-confirm></ff-confirm>`;
  }

  private table(tokens: readonly Token[], may: boolean) {
    return html`<table>
      <thead>
        <tr>
          <th>${words.tokenName}</th>
          <th class="wide">${words.tokenUsed}</th>
          <th>${words.tokenUntil}</th>
          ${may ? html`<th class="c-button"></th>` : nothing}
        </tr>
      </thead>
      <tbody>
        ${tokens.map(
          token =>
            html`<tr>
              <td>
                <div class="cut">${token.name}</div>
                <span class="under cut mono">${token.prefix}…</span>
              </td>
              <td class="wide"><ff-time .at=${token.last_used_at}></ff-time></td>
              <td>${ends(token)}</td>
              ${
                may
                  ? html`<td class="number">
                      ${
                        token.revoked_at
                          ? nothing
                          : html`<button
                              ?disabled=${this.action.busy}
                              @click=${() => {
                                this.revoke(token);
                              }}
                            >
                              ${words.revoke}
                            </button>`
                      }
                    </td>`
                  : nothing
              }
            </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private async make(): Promise<void> {
    await this.action.run(async () => {
      const name = `from the web, ${new Date().toISOString().slice(0, 16).replace('T', ' ')}`;
      const { value } = await this.hub.client.post('/api/tokens', {
        body: { agent_id: this.agent.id, name },
      });
      this.made = value ?? '';
      this.dialog.show();
      await this.tokens.refresh();
    });
  }

  private forget(): void {
    this.made = '';
  }

  private revoke(token: Token): void {
    this.confirm.ask({
      heading: words.revokeSure(token.name),
      why: words.revokeWhy,
      yes: words.revoke,
      then: () =>
        this.action.run(async () => {
          await this.hub.client.delete('/api/tokens/{token_id}', { id: token.id });
          await this.tokens.refresh();
        }),
    });
  }
}

function ends(token: Token): string {
  if (token.revoked_at) return words.tokenRevoked;
  return token.expires_at ? absolute(token.expires_at) : words.tokenForever;
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-agent-tokens': FfAgentTokens;
  }
}
