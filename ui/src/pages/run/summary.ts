import { LitElement, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { hasEnded, type Bandwidth, type Run } from '../../api/types.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/progress/progress.js';
import { toneOf } from '../../components/status/status.js';
import { NONE, absolute, bytes, duration, moment, percent, rate, seconds } from '../../data/format.js';
import { base } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './run.styles.js';

const words = texts.run;
const ACTIVE: readonly string[] = ['planning', 'transferring', 'verifying'];

/** How far a run is, how fast it goes, and how it ended. */
@customElement('ff-summary')
export class FfSummary extends LitElement {
  static override styles = [base, styles];

  @property({ attribute: false }) run!: Run;
  /** Bytes per second at present. */
  @property({ attribute: false }) rate: number | undefined;
  /** Seconds until the end, where that can be said. */
  @property({ attribute: false }) left: number | undefined;

  override render() {
    const { run } = this;
    const tone = toneOf(run.status);
    return html`
      <div class="line ${tone}" role="status">
        <strong>${run.status === 'succeeded' ? icon('check') : nothing}<span>${headline(run)}</span></strong>
        <span class="percent">${percent(run.progress)}</span>
      </div>
      ${run.reason ? html`<p class="reason">${run.reason}</p>` : nothing} ${phases(run)}
      <ff-progress .value=${run.progress} .label=${words.progress} tone=${tone}></ff-progress>
      <dl>
        ${this.fact(words.files, this.files())}
        ${this.fact(words.data, hasEnded(run) ? bytes(run.bytes_done) : words.of(bytes(run.bytes_done), bytes(run.bytes_total)))}
        ${hasEnded(run) ? this.whenEnded() : this.whileMoving()}
        ${this.fact(words.wire, bytes(run.bytes_transferred), words.wireWhy)}
        ${run.bytes_reused ? this.fact(words.reused, bytes(run.bytes_reused), words.reusedWhy) : nothing}
        ${this.fact(words.started, run.started_at ? moment(run.started_at) : NONE, run.started_at ? absolute(run.started_at) : '')}
        ${this.fact(words.by, run.requested_by)}
      </dl>
    `;
  }

  private whileMoving() {
    return html`
      ${this.fact(words.rate, rate(this.rate))}
      ${this.run.bandwidth ? this.fact(words.limit, limited(this.run.bandwidth), words.limitWhy) : nothing}
      ${this.run.bottleneck ? this.fact(words.slow, texts.map.slow[this.run.bottleneck], words.slowWhy) : nothing}
      ${this.fact(words.left, this.left === undefined ? NONE : duration(this.left))}
    `;
  }

  private whenEnded() {
    const took = seconds(this.run.started_at, this.run.ended_at);
    return html`
      ${this.fact(words.average, took > 0 ? rate(this.run.bytes_done / took) : NONE)}
      ${this.fact(words.took, duration(took))}
    `;
  }

  private files() {
    const { run } = this;
    const extra = [
      run.files_skipped ? words.skipped(run.files_skipped) : '',
      run.files_failed ? words.failedCount(run.files_failed) : '',
    ].filter(Boolean);
    return html`${words.filesOf(run.files_done, hasEnded(run) ? (run.files_total ?? run.files_done) : run.files_total)}
    ${extra.length ? html`<span class="dim">${extra.join(', ')}</span>` : nothing}`;
  }

  private fact(name: string, value: unknown, why?: string) {
    return html`<div title=${why || nothing}>
      <dt>${name}</dt>
      <dd>${value}</dd>
    </div>`;
  }
}

/** Where it stands between being asked for and its end; only times that the hub has are told. */
function phases(run: Run) {
  const ended = hasEnded(run);
  const now = ACTIVE.indexOf(run.status);
  const wait = seconds(run.created_at, run.started_at ?? run.ended_at);
  const step = (what: string, at: string | null, state: 'done' | 'now' | 'later') =>
    html`<li
      class=${state}
      aria-current=${state === 'now' ? 'step' : nothing}
      title=${at ? absolute(at) : nothing}
    >
      ${what}
    </li>`;
  const between = [words.reads, words.moves, words.verifies].map((what, index) =>
    step(what, null, now < index ? 'later' : now === index ? 'now' : 'done'),
  );
  return html`<ol class="phases" aria-label=${words.phases}>
    ${step(words.asked, run.created_at, run.started_at || ended ? 'done' : 'now')}
    ${run.started_at ? step(wait < 0.1 ? words.beganAtOnce : words.began(duration(wait)), run.started_at, 'done') : nothing}
    ${ended ? step(words.ended(duration(seconds(run.started_at ?? run.created_at, run.ended_at))), run.ended_at, 'done') : between}
  </ol>`;
}

/** What holds the run back, as in: 2 MB/s, by agent north. */
function limited({ limit, set_by, until }: Bandwidth): string {
  return words.limitOf(limit ? rate(limit) : words.limitNothing, set_by, until ? moment(until) : '');
}

/** The one sentence that says where the run stands. */
function headline(run: Run): string {
  switch (run.status) {
    case 'succeeded':
      return run.files_done ? words.succeeded(run.files_done, bytes(run.bytes_done)) : words.nothing;
    case 'partial':
      return words.partial(run.files_failed, run.files_total ?? run.files_done + run.files_failed);
    case 'cancelled':
      return words.cancelled(run.files_done);
    case 'failed':
      return words.failed;
    default:
      return texts.runStatuses[run.status];
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-summary': FfSummary;
  }
}
