import { LitElement, css, html, nothing } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';

import type { Query } from '../../api/paths.js';
import type { AuditEntry } from '../../api/types.js';
import '../../components/notice/notice.js';
import '../../components/status/status.js';
import type { Tone } from '../../components/status/status.js';
import '../../components/time/time.js';
import { Action } from '../../data/action.js';
import { csv, save } from '../../data/csv.js';
import { absolute } from '../../data/format.js';
import { textOf } from '../../data/form.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { Rows } from '../../data/rows.js';
import { base, controls, page, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.audit;
const EXPORT_MAX = 20_000;
const EXPORT_PAGE = 200;
const TONES: Record<AuditEntry['outcome'], Tone> = {
  ok: 'idle',
  succeeded: 'good',
  partial: 'warn',
  failed: 'bad',
  refused: 'bad',
  cancelled: 'idle',
};
const FIELDS = ['actor', 'action', 'object'] as const;
type Filter = Pick<Query<'get', '/api/audit'>, 'actor' | 'action' | 'object' | 'outcome'>;

/** Who did what, newest first, with filters and an export of what they leave. */
@customElement('ff-audit')
export class FfAudit extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    table,
    css`
      form {
        display: flex;
        flex-wrap: wrap;
        align-items: end;
        gap: var(--space-3);
        margin-bottom: var(--space-3);
      }
      form label {
        flex: 1 1 9rem;
      }
      .c-at {
        width: 124px;
      }
      .c-outcome {
        width: 140px;
      }
      .c-actor {
        width: 20%;
      }
      td .narrow {
        display: none;
      }
      @media (max-width: 720px) {
        td .narrow {
          display: block;
        }
        .c-actor {
          width: 30%;
        }
      }
      .detail {
        font: 12px / 1.45 var(--mono);
        color: var(--text-dim);
        overflow-wrap: anywhere;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;

  @state() private filter: Filter = {};
  @state() private exported = 0;

  private entries!: Rows<AuditEntry>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);

  override connectedCallback(): void {
    super.connectedCallback();
    this.look({});
  }

  override render() {
    const { items, loaded, problem, hasMore } = this.entries;
    const busy = this.action.busy;
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        <span class="grow"></span>
        <button ?disabled=${busy || items.length === 0} @click=${this.export}>
          ${busy ? words.exporting(this.exported) : words.export}
        </button>
      </div>
      <form @submit=${this.apply} title=${words.help}>
        ${FIELDS.map(
          name =>
            html`<label
              >${words[name]}<input name=${name} .value=${this.filter[name] ?? ''} autocomplete="off"
            /></label>`,
        )}
        <label
          >${words.outcome}<select name="outcome">
            <option value="">${words.any}</option>
            ${Object.entries(words.outcomes).map(
              ([value, text]) =>
                html`<option value=${value} ?selected=${this.filter.outcome === value}>${text}</option>`,
            )}
          </select></label
        >
        <button class="primary">${words.search}</button>
        <button type="reset" @click=${this.clear}>${words.clear}</button>
      </form>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel">
        ${items.length ? this.table(items) : html`<ff-notice kind=${loaded ? 'empty' : 'loading'} heading=${words.empty}></ff-notice>`}
        ${hasMore ? html`<div class="more"><button @click=${this.more}>${texts.common.more}</button></div>` : nothing}
      </div>
    `;
  }

  private table(items: readonly AuditEntry[]) {
    return html`<table>
      <thead>
        <tr>
          <th class="c-at">${words.at}</th>
          <th class="c-actor">${words.actor}</th>
          <th>${words.action}</th>
          <th class="c-outcome wide">${words.outcome}</th>
          <th class="wide">${words.detail}</th>
        </tr>
      </thead>
      <tbody>
        ${repeat(
          items,
          entry => entry.id,
          entry =>
            html`<tr>
              <td title=${absolute(entry.at)}><ff-time .at=${entry.at}></ff-time></td>
              <td title=${entry.actor}><div class="cut">${entry.actor}</div></td>
              <td>
                <div class="cut">${entry.action}</div>
                <span class="under cut" title=${entry.object}>${entry.object}</span>
                <span class="under narrow">${words.outcomes[entry.outcome]}</span>
              </td>
              <td class="wide">
                <ff-status tone=${TONES[entry.outcome]}>${words.outcomes[entry.outcome]}</ff-status>
              </td>
              <td class="wide"><div class="detail">${shown(entry.detail)}</div></td>
            </tr>`,
        )}
      </tbody>
    </table>`;
  }

  private look(filter: Filter): void {
    this.filter = filter;
    const { client, live } = this.hub;
    this.entries = new Rows<AuditEntry>({
      read: (limit, cursor) => client.get('/api/audit', { query: { limit, cursor, sort: '-id', ...filter } }),
      event: 'audit',
      newest: 'first',
    });
    this.kept.set(live, [this.entries]);
  }

  private apply(event: SubmitEvent): void {
    event.preventDefault();
    const form = new FormData(event.target as HTMLFormElement);
    const text = (name: string) => textOf(form, name) || undefined;
    this.look({
      actor: text('actor'),
      action: text('action'),
      object: text('object'),
      outcome: text('outcome') as Filter['outcome'],
    });
  }

  private clear(): void {
    this.look({});
  }

  private async more(): Promise<void> {
    await this.entries.showMore();
  }

  /** Everything that the filters leave, page by page, up to a bound that no spreadsheet minds. */
  private async export(): Promise<void> {
    this.exported = 0;
    await this.action.run(async () => {
      const rows: AuditEntry[] = [];
      let cursor: string | null = null;
      do {
        const found: { items: AuditEntry[]; next_cursor: string | null } = await this.hub.client.get(
          '/api/audit',
          {
            query: { limit: EXPORT_PAGE, cursor, sort: '-id', ...this.filter },
          },
        );
        rows.push(...found.items);
        this.exported = rows.length;
        cursor = found.next_cursor;
      } while (cursor !== null && rows.length < EXPORT_MAX);
      const lines = rows.map(row => [
        row.at,
        row.actor,
        row.action,
        row.object,
        row.outcome,
        JSON.stringify(row.detail),
      ]);
      save('audit.csv', csv([['at', 'actor', 'action', 'object', 'outcome', 'detail'], ...lines]));
    });
  }
}

function shown(detail: AuditEntry['detail']): string {
  return Object.entries(detail)
    .filter(([, value]) => value !== '')
    .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-audit': FfAudit;
  }
}
