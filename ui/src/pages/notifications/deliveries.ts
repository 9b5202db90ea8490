import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import '../../components/notice/notice.js';
import type { Tone } from '../../components/status/status.js';
import '../../components/status/status.js';
import '../../components/time/time.js';
import { Action } from '../../data/action.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { Rows } from '../../data/rows.js';
import { base, controls, page, part, parts, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';

type Delivery = Answer<'get', '/api/notifications/{target_id}/deliveries'>['items'][number];

const words = texts.notifications;
const TONES: Record<Delivery['status'], Tone> = { pending: 'busy', delivered: 'good', failed: 'bad' };

/** What was sent to one target, newest first, and what it answered. */
@customElement('ff-deliveries')
export class FfDeliveries extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    parts,
    part,
    table,
    css`
      .c-status {
        width: 118px;
      }
      .c-button {
        width: 128px;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ type: Number }) targetId = 0;
  @property() name = '';

  private deliveries!: Rows<Delivery>;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('targetId') && !changed.has('hub')) return;
    const id = this.targetId;
    this.deliveries = new Rows<Delivery>({
      read: (limit, cursor) =>
        this.hub.client.get('/api/notifications/{target_id}/deliveries', { id, query: { limit, cursor } }),
      event: 'delivery',
      newest: 'first',
      moving: delivery => delivery.status === 'pending',
    });
    this.kept.set(this.hub.live, [this.deliveries]);
  }

  refresh(): void {
    void this.deliveries.refresh().catch(() => undefined);
  }

  override render() {
    const { items, loaded, problem } = this.deliveries;
    return html`<section class="panel">
      <h2>${words.log}: ${this.name}</h2>
      ${this.action.problem || problem ? html`<div class="inside"><ff-notice kind="error" heading=${this.action.problem || (problem?.message ?? '')}></ff-notice></div>` : nothing}
      ${
        items.length
          ? html`<table>
              <thead>
                <tr>
                  <th>${words.event}</th>
                  <th class="wide">${words.at}</th>
                  <th class="c-status">${words.state}</th>
                  <th class="wide">${words.answer}</th>
                  <th class="c-button wide"></th>
                </tr>
              </thead>
              <tbody>
                ${items.map(delivery => this.row(delivery))}
              </tbody>
            </table>`
          : html`<ff-notice kind=${loaded ? 'empty' : 'loading'} heading=${words.noLog}></ff-notice>`
      }
    </section>`;
  }

  private row(delivery: Delivery) {
    const answer = delivery.error || [delivery.http_status ?? '', delivery.answer].join(' ').trim();
    return html`<tr>
      <td><div class="cut">${delivery.type}</div></td>
      <td class="wide"><ff-time .at=${delivery.at}></ff-time></td>
      <td><ff-status tone=${TONES[delivery.status]}>${words.statuses[delivery.status]}</ff-status></td>
      <td class="wide" title=${answer}>
        <div class="cut">${answer || texts.common.none}</div>
        <span class="under">${words.attempts}: ${delivery.attempts}</span>
      </td>
      <td class="number wide">
        ${delivery.status === 'failed' ? html`<button ?disabled=${this.action.busy} @click=${() => this.again(delivery)}>${words.again}</button>` : nothing}
      </td>
    </tr>`;
  }

  private async again(delivery: Delivery): Promise<void> {
    await this.action.run(async () => {
      await this.hub.client.post('/api/notifications/{target_id}/deliveries/{delivery_id}/redeliver', {
        id: [this.targetId, delivery.id],
      });
      await this.deliveries.refresh();
    });
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-deliveries': FfDeliveries;
  }
}
