import { LitElement, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import { hasEnded, type Run, type Transfer, type TransferStatus } from '../../api/types.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/progress/progress.js';
import { toneOf } from '../../components/status/status.js';
import '../../components/tabs/tabs.js';
import type { FfTabs } from '../../components/tabs/tabs.js';
import { bytes, percent } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import type { Rows } from '../../data/rows.js';
import { Value } from '../../data/value.js';
import { Virtual } from '../../data/virtual.js';
import { base, controls, page, part, search, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import './file.js';
import { styles } from './run.styles.js';

type Codes = Answer<'get', '/api/runs/{run_id}/codes'>['items'];

const words = texts.run;
const FILTERS: Readonly<Record<string, readonly TransferStatus[]>> = {
  all: [],
  active: ['pending', 'waiting', 'transferring', 'verifying'],
  done: ['completed', 'skipped'],
  failed: ['failed', 'cancelled'],
};

/** The files of one run. */
@customElement('ff-files')
export class FfFiles extends LitElement {
  static override styles = [base, controls, search, page, table, styles, part];

  @property({ attribute: false }) hub!: Hub;
  @property({ attribute: false }) run!: Run;

  @state() private filter = 'all';
  @state() private name = '';
  @state() private code = '';

  private files!: Rows<Transfer>;
  private codes!: Value<Codes>;
  private readonly kept = new Keep(this);
  private readonly virtual = new Virtual(
    this,
    () => this.renderRoot.querySelector('tbody'),
    () => void this.more(),
  );

  override willUpdate(changed: PropertyValues): void {
    const before = changed.get('run') as Run | undefined;
    const isOther = changed.has('run') && before?.id !== this.run.id;
    if (isOther) this.otherRun();
    if (isOther || changed.has('filter') || changed.has('name') || changed.has('code')) this.begin();
    // What the last files of a run became may not have been told before the run ended.
    if (before?.id === this.run.id && !hasEnded(before) && hasEnded(this.run)) {
      void this.files.refresh().catch(() => undefined);
    }
  }

  override render() {
    const { items, loaded, problem, hasMore } = this.files;
    const codes = this.codes.value ?? [];
    return html`
      <div class="head">
        <h2>${words.transfers}</h2>
        <span class="grow"></span>
        ${codes.length || this.code ? this.reasons(codes) : nothing}
        <label class="search"
          >${icon('search', 14)}<input
            type="search"
            placeholder=${words.findFile}
            aria-label=${words.findFile}
            @change=${this.find}
        /></label>
        <ff-tabs
          .options=${words.filters}
          .value=${this.filter}
          .label=${words.filter}
          @change=${this.choose}
        ></ff-tabs>
      </div>
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel">
        ${items.length ? this.table(items) : this.nothingYet(loaded)}
        ${
          hasMore
            ? html`<div class="more"><button @click=${this.more}>${texts.common.more}</button></div>`
            : nothing
        }
      </div>
      <ff-file .hub=${this.hub} .run=${this.run}></ff-file>
    `;
  }

  private otherRun(): void {
    const { client } = this.hub;
    const { id } = this.run;
    this.code = '';
    this.codes = new Value({
      read: async () => (await client.get('/api/runs/{run_id}/codes', { id })).items,
      events: ['run'],
    });
  }

  private begin(): void {
    this.files = this.hub.transfers(this.run.id, FILTERS[this.filter] ?? [], this.name, this.code);
    this.kept.set(this.hub.live, [this.files, this.codes]);
  }

  private nothingYet(loaded: boolean) {
    if (!loaded) return html`<ff-notice kind="loading"></ff-notice>`;
    if (this.filter !== 'all' || this.name || this.code)
      return html`<ff-notice heading=${words.noneFiltered}></ff-notice>`;
    return hasEnded(this.run)
      ? html`<ff-notice heading=${words.noneEnded}></ff-notice>`
      : html`<ff-notice heading=${words.none}>${words.noneWhy}</ff-notice>`;
  }

  private table(items: readonly Transfer[]) {
    return html`<table aria-rowcount=${items.length + 1}>
      <thead>
        <tr>
          <th>${words.file}</th>
          <th class="c-status">${words.status}</th>
          <th class="c-progress wide">${words.fileProgress}</th>
          <th class="c-size number">${words.size}</th>
        </tr>
      </thead>
      <tbody>
        ${this.virtual.rows(items, (file, place) => this.row(file, place))}
      </tbody>
    </table>`;
  }

  private row(file: Transfer, place: number) {
    const said = [file.reason, file.retry_count ? words.retries(file.retry_count) : '']
      .filter(Boolean)
      .join(', ');
    const tone = toneOf(file.status);
    return html`<tr data-row aria-rowindex=${place}>
      <td title=${file.filename}>
        <button
          class="file"
          aria-label=${texts.file.open(file.filename)}
          @click=${() => {
            this.open(file);
          }}
        >
          <span class="cut">${file.filename}</span>
        </button>
        ${said ? html`<span class="under cut" title=${said}>${said}</span>` : nothing}
      </td>
      <td><ff-status tone=${tone}>${texts.transferStatuses[file.status]}</ff-status></td>
      <td class="wide">
        <div class="bar">
          <ff-progress .value=${file.progress} .label=${words.fileProgress} tone=${tone}></ff-progress>
          <span>${percent(file.progress)}</span>
        </div>
      </td>
      <td class="number">${bytes(file.size)}</td>
    </tr>`;
  }

  private open(file: Transfer): void {
    this.renderRoot.querySelector('ff-file')?.show(file);
  }

  private reasons(codes: Codes) {
    return html`<select class="reasons" aria-label=${words.reason} @change=${this.chooseReason}>
      <option value="">${words.anyReason}</option>
      ${codes.map(
        ({ code, count }) =>
          html`<option value=${code} ?selected=${code === this.code}>${words.reasonOf(code, count)}</option>`,
      )}
    </select>`;
  }

  private chooseReason(event: Event): void {
    this.code = (event.target as HTMLSelectElement).value;
  }

  private find(event: Event): void {
    this.name = (event.target as HTMLInputElement).value.trim();
  }

  private choose(event: Event): void {
    this.filter = (event.target as FfTabs).value;
  }

  private async more(): Promise<void> {
    await this.files.showMore();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-files': FfFiles;
  }
}
