import { LitElement, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import type { Run, Transfer } from '../../api/types.js';
import { hasEnded } from '../../api/types.js';
import '../../components/dialog/dialog.js';
import type { FfDialog } from '../../components/dialog/dialog.js';
import '../../components/notice/notice.js';
import { toneOf } from '../../components/status/status.js';
import { fact } from '../../components/fact/fact.js';
import { Action } from '../../data/action.js';
import { NONE, absolute, bytes, duration, seconds } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { mayRun } from '../../data/roles.js';
import { Value } from '../../data/value.js';
import { base, controls, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './file.styles.js';

type Chunk = Answer<'get', '/api/transfers/{transfer_id}/chunks'>['items'][number];

const words = texts.file;
const CHUNKS_MAX = 1000;
const LIVE: readonly Transfer['status'][] = ['pending', 'waiting', 'transferring', 'verifying'];

/** One file of a run with its chunks, live while it moves. Open it with `show`. */
@customElement('ff-file')
export class FfFile extends LitElement {
  static override styles = [base, controls, parts, styles];

  @property({ attribute: false }) hub!: Hub;
  @property({ attribute: false }) run!: Run;

  @state() private file: Value<Transfer> | undefined;
  private chunks: Value<Chunk[]> | undefined;
  private readonly kept = new Keep(this);
  private readonly action = new Action(this);
  @query('ff-dialog') private readonly dialog!: FfDialog;

  show(transfer: Transfer): void {
    const { client, live } = this.hub;
    const { id } = transfer;
    const moving = () => LIVE.includes(this.file?.value?.status ?? 'completed');
    this.file = new Value({
      read: () => client.get('/api/transfers/{transfer_id}', { id }),
      events: ['transfer'],
      moving,
    });
    this.file.take(transfer);
    this.chunks = new Value({
      read: async () =>
        (await client.get('/api/transfers/{transfer_id}/chunks', { id, query: { limit: CHUNKS_MAX } })).items,
      events: ['transfer'],
      moving,
    });
    this.kept.set(live, [this.file, this.chunks]);
    this.dialog.show();
  }

  override render() {
    const transfer = this.file?.value;
    return html`<ff-dialog
      heading=${transfer?.filename ?? ''}
      cancel=${texts.common.close}
      wide
      @closed=${this.closed}
    >
      ${transfer ? this.whole(transfer) : nothing}
    </ff-dialog>`;
  }

  private whole(transfer: Transfer) {
    return html`
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      <p class="state">
        <ff-status tone=${toneOf(transfer.status)}>${texts.transferStatuses[transfer.status]}</ff-status>
        <span>${transfer.reason}</span>
        ${mayRun(this.hub.session.user) && !hasEnded(this.run) ? this.buttons(transfer) : nothing}
      </p>
      <dl class="facts">
        ${fact(words.size, bytes(transfer.size))} ${fact(words.wire, bytes(transfer.bytes_transferred))}
        ${fact(words.reused, bytes(transfer.bytes_reused))}
        ${fact(words.compression, transfer.compression ?? NONE)}
        ${fact(words.chunks, words.chunksOf(transfer.completed_chunks, transfer.total_chunks, bytes(transfer.chunk_size)))}
        ${fact(words.started, transfer.started_at ? absolute(transfer.started_at) : NONE)}
        ${fact(words.took, duration(seconds(transfer.started_at, transfer.ended_at)))}
        ${transfer.retry_count ? fact(words.retries, String(transfer.retry_count)) : nothing}
        ${transfer.code ? fact(words.code, transfer.code) : nothing}
      </dl>
      ${transfer.file_hash ? html`<p class="hash"><span class="dim">SHA-256</span> ${transfer.file_hash}</p>` : nothing}
      ${this.map(transfer)}
    `;
  }

  private buttons(transfer: Transfer) {
    const again = transfer.status === 'failed' || transfer.status === 'cancelled';
    if (!again && !LIVE.includes(transfer.status)) return nothing;
    return html`<button ?disabled=${this.action.busy} @click=${() => this.control(transfer, again)}>
      ${again ? words.again : words.cancel}
    </button>`;
  }

  private map(transfer: Transfer) {
    const chunks = this.chunks?.value;
    if (!chunks || transfer.total_chunks < 2) return nothing;
    const done = chunks.filter(chunk => chunk.status === 'done' || chunk.status === 'acked').length;
    return html`
      <div class="map" role="img" aria-label=${words.mapSays(done, chunks.length)}>
        ${chunks.map(chunk => html`<i class=${chunk.status} title=${words.chunk(chunk.index, bytes(chunk.offset), words.states[chunk.status])}></i>`)}
      </div>
      <p class="legend">
        ${Object.entries(words.states).map(([name, text]) => html`<span><i class=${name}></i>${text}</span>`)}
        ${transfer.total_chunks > chunks.length ? html`<span>${words.mapCut(chunks.length, transfer.total_chunks)}</span>` : nothing}
      </p>
    `;
  }

  private async control(transfer: Transfer, again: boolean): Promise<void> {
    const path = again ? '/api/transfers/{transfer_id}/resume' : '/api/transfers/{transfer_id}/cancel';
    await this.action.run(async () => {
      this.file?.take(await this.hub.client.post(path, { id: transfer.id }));
    });
  }

  private closed(): void {
    this.kept.hostDisconnected();
    this.file = undefined;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-file': FfFile;
  }
}
