import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import type { Transfer, TransferStatus } from '../../api/types.js';
import '../../components/notice/notice.js';
import '../../components/progress/progress.js';
import { toneOf } from '../../components/status/status.js';
import '../../components/tabs/tabs.js';
import type { FfTabs } from '../../components/tabs/tabs.js';
import '../../components/time/time.js';
import { bytes, percent } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { linkTo } from '../../data/router.js';
import { Rows } from '../../data/rows.js';
import { Virtual } from '../../data/virtual.js';
import { base, controls, page, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.transfers;
const FILTERS: Readonly<Record<string, readonly TransferStatus[]>> = {
  all: [],
  active: ['waiting', 'transferring', 'verifying'],
  failed: ['failed'],
};

/** The files of all runs, newest first. */
@customElement('ff-transfers')
export class FfTransfers extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    table,
    css`
      .c-status {
        width: 140px;
      }
      .c-progress {
        width: 16%;
      }
      .c-size {
        width: 96px;
      }
      .c-run {
        width: 22%;
      }
      .c-when {
        width: 112px;
      }
      .file {
        font: 12.5px / 1.5 var(--mono);
      }
      @media (max-width: 720px) {
        .c-status {
          width: 128px;
        }
        .c-size {
          width: 88px;
        }
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property() filter = 'all';

  private rows!: Rows<Transfer>;
  private readonly kept = new Keep(this);
  private readonly virtual = new Virtual(
    this,
    () => this.renderRoot.querySelector('tbody'),
    () => void this.more(),
  );

  override willUpdate(changed: PropertyValues<this>): void {
    if (!changed.has('filter') && !changed.has('hub')) return;
    if (!(this.filter in FILTERS)) this.filter = 'all';
    const statuses = FILTERS[this.filter] ?? [];
    this.rows = new Rows<Transfer>({
      read: (limit, cursor) =>
        this.hub.client.get('/api/transfers', {
          query: { limit, cursor, sort: '-id', status: [...statuses] },
        }),
      event: 'transfer',
      newest: 'first',
      belongs: row => statuses.length === 0 || statuses.includes(row.status),
    });
    this.kept.set(this.hub.live, [this.rows, this.hub.jobsById]);
  }

  override render() {
    const { items, loaded, problem, hasMore } = this.rows;
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        <span class="grow"></span>
        <ff-tabs
          .options=${words.filters}
          .value=${this.filter}
          .label=${words.filter}
          @change=${this.choose}
        ></ff-tabs>
      </div>
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel">
        ${
          items.length
            ? this.table(items)
            : html`<ff-notice kind=${loaded ? 'empty' : 'loading'} heading=${words.empty}></ff-notice>`
        }
        ${hasMore ? html`<div class="more"><button @click=${this.more}>${texts.common.more}</button></div>` : nothing}
      </div>
    `;
  }

  private table(items: readonly Transfer[]) {
    return html`<table aria-rowcount=${items.length + 1}>
      <thead>
        <tr>
          <th>${words.file}</th>
          <th class="c-run wide">${words.run}</th>
          <th class="c-status">${words.status}</th>
          <th class="c-progress wide">${words.progress}</th>
          <th class="c-size number">${words.size}</th>
          <th class="c-when wide">${words.when}</th>
        </tr>
      </thead>
      <tbody>
        ${this.virtual.rows(items, (file, place) => this.row(file, place))}
      </tbody>
    </table>`;
  }

  private row(file: Transfer, place: number) {
    const tone = toneOf(file.status);
    const job = this.hub.jobsById.get(file.job_id)?.name ?? texts.runs.jobNumber(file.job_id);
    return html`<tr data-row aria-rowindex=${place}>
      <td title=${file.filename}>
        <a class="name" href=${linkTo.run(file.run_id)}><div class="file cut">${file.filename}</div></a>
        ${file.reason ? html`<span class="under cut" title=${file.reason}>${file.reason}</span>` : nothing}
      </td>
      <td class="wide" title=${job}>
        <a class="name" href=${linkTo.run(file.run_id)}>#${file.run_id}</a>
        <span class="under cut">${job}</span>
      </td>
      <td><ff-status tone=${tone}>${texts.transferStatuses[file.status]}</ff-status></td>
      <td class="wide">
        <ff-progress .value=${file.progress} .label=${words.progress} tone=${tone}></ff-progress>
        <span class="under">${percent(file.progress)}</span>
      </td>
      <td class="number">${bytes(file.size)}</td>
      <td class="wide"><ff-time .at=${file.ended_at ?? file.started_at}></ff-time></td>
    </tr>`;
  }

  private choose(event: Event): void {
    location.hash = linkTo.transfers((event.target as FfTabs).value);
  }

  private async more(): Promise<void> {
    await this.rows.showMore();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-transfers': FfTransfers;
  }
}
