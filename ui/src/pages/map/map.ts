import { LitElement, html, nothing, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';

import type { Run } from '../../api/types.js';
import '../../components/notice/notice.js';
import '../../components/progress/progress.js';
import { toneOf } from '../../components/status/status.js';
import { percent, rate } from '../../data/format.js';
import { ACTIVE_RUNS, type Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { WIDTH, layOut, type Node, type Place, type Stream } from '../../data/map_layout.js';
import { linkTo } from '../../data/router.js';
import type { Rows } from '../../data/rows.js';
import { Throughput } from '../../data/throughput.js';
import { base, controls, page, parts, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './map.styles.js';

const words = texts.map;
/** More lines than these nobody can tell apart; the list has all. */
const DRAWN_MAX = 16;
const PLACES: Readonly<Record<NonNullable<Run['bottleneck']>, Place>> = {
  source_disk: 'source',
  source_cpu: 'source',
  uplink: 'up',
  hub: 'hub',
  limit: 'hub',
  downlink: 'down',
  destination_disk: 'destination',
};

/** Who sends what to whom at this moment: agents on both sides, the hub between them, a line for every run. */
@customElement('ff-map')
export class FfMap extends LitElement {
  static override styles = [base, controls, page, parts, table, styles];

  @property({ attribute: false }) hub!: Hub;

  private runs!: Rows<Run>;
  private readonly throughput = new Throughput();
  private stopHearing: (() => void) | undefined;
  private readonly kept = new Keep(this);

  override connectedCallback(): void {
    super.connectedCallback();
    const { live, agentsById, jobsById } = this.hub;
    this.runs = this.hub.runs(ACTIVE_RUNS);
    this.kept.set(live, [this.runs, this.throughput, agentsById, jobsById]);
    // What a reading brings counts as well as what the feed tells.
    this.stopHearing = this.runs.subscribe(() => {
      for (const run of this.runs.items) this.throughput.take(run);
    });
    this.throughput.start();
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.stopHearing?.();
    this.throughput.stop();
  }

  override render() {
    const { items, loaded, problem } = this.runs;
    const streams = items.map(run => this.stream(run));
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        <span class="dim" role="status">${words.count(items.length, rate(this.throughput.now))}</span>
      </div>
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="parts">
        <section class="panel picture">
          ${
            streams.length
              ? this.picture(streams.slice(0, DRAWN_MAX))
              : html`<ff-notice kind=${loaded ? 'empty' : 'loading'} heading=${words.nothing}
                  >${words.nothingWhy}</ff-notice
                >`
          }
        </section>
        ${items.length ? this.list(items, streams) : nothing}
      </div>
    `;
  }

  private stream(run: Run): Stream {
    const job = this.hub.jobsById.get(run.job_id);
    const name = (id: number | undefined) =>
      id === undefined ? '…' : (this.hub.agentsById.get(id)?.name ?? texts.jobs.agent(id));
    return {
      runId: run.id,
      job: job?.name ?? texts.runs.jobNumber(run.job_id),
      source: name(job?.source_agent_id),
      destination: name(job?.destination_agent_id),
      rate: run.status === 'transferring' ? (this.throughput.of(run.id) ?? 0) : 0,
      slow: run.bottleneck ? PLACES[run.bottleneck] : undefined,
    };
  }

  private picture(streams: readonly Stream[]) {
    const { height, sources, destinations, hub, curves } = layOut(streams);
    return html`<svg
      viewBox="0 0 ${WIDTH} ${height}"
      role="img"
      aria-label=${words.count(streams.length, rate(this.throughput.now))}
    >
      ${curves.map(
        ({ path, width, stream, half }) =>
          svg`<path class="line ${stream.rate > 0 ? 'moves' : ''} ${stream.slow === half ? 'slow' : ''}" d=${path} stroke-width=${width.toFixed(1)}><title>${stream.job}, ${rate(stream.rate)}</title></path>`,
      )}
      ${svg`<g transform="translate(${hub.x} ${hub.y})">
        <rect class="hub ${streams.some(stream => stream.slow === 'hub') ? 'slow' : ''}" x="-46" y="-46" width="92" height="92" rx="14"></rect>
        <text class="name" text-anchor="middle" y="-4">${words.hub}</text>
        <text class="rate" text-anchor="middle" y="16">${rate(this.throughput.now)}</text>
      </g>`}
      ${sources.map(node => this.node(node, streams, 'source'))}
      ${destinations.map(node => this.node(node, streams, 'destination'))}
    </svg>`;
  }

  private node(node: Node, streams: readonly Stream[], end: 'source' | 'destination') {
    const own = streams.filter(stream => stream[end] === node.name);
    const sum = own.reduce((total, stream) => total + stream.rate, 0);
    const left = end === 'source';
    return svg`<g transform="translate(${node.x} ${node.y})">
      <circle r="5"></circle>
      ${own.some(stream => stream.slow === end) ? svg`<circle class="slow" r="10"></circle>` : nothing}
      <text class="name" text-anchor=${left ? 'end' : 'start'} x=${left ? -14 : 14} y="-1">${short(node.name)}</text>
      <text class="rate" text-anchor=${left ? 'end' : 'start'} x=${left ? -14 : 14} y="15">${rate(sum)}</text>
      <title>${node.name}</title>
    </g>`;
  }

  private list(items: readonly Run[], streams: readonly Stream[]) {
    return html`<section class="panel">
      <table>
        <thead>
          <tr>
            <th>${words.job}</th>
            <th class="wide">${words.way}</th>
            <th class="c-status">${words.state}</th>
            <th class="number">${words.rate}</th>
          </tr>
        </thead>
        <tbody>
          ${repeat(
            items,
            run => run.id,
            (run, index) => this.row(run, streams[index]),
          )}
        </tbody>
      </table>
    </section>`;
  }

  private row(run: Run, stream: Stream | undefined) {
    const way = stream ? `${stream.source} → ${stream.destination}` : '';
    return html`<tr>
      <td>
        <a class="name" href=${linkTo.run(run.id)}><div class="cut">${stream?.job}</div></a>
        <span class="under cut narrow">${way}</span>
        ${run.reason ? html`<span class="under cut" title=${run.reason}>${run.reason}</span>` : nothing}
      </td>
      <td class="wide">${way}</td>
      <td>
        <ff-status tone=${toneOf(run.status)}>${texts.runStatuses[run.status]}</ff-status>
        ${run.bottleneck ? html`<span class="under">${words.slowest(words.slow[run.bottleneck])}</span>` : nothing}
      </td>
      <td class="number">
        ${stream?.rate ? rate(stream.rate) : texts.common.none}<span class="under"
          >${percent(run.progress)}</span
        >
      </td>
    </tr>`;
  }
}

function short(name: string): string {
  return name.length > 20 ? `${name.slice(0, 19)}…` : name;
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-map': FfMap;
  }
}
