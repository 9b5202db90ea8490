/** How much all runs move together, second by second, from what the hub says of each. */
import { hasEnded, type Run } from '../api/types.js';
import type { Source } from './live.js';
import { Rate } from './rate.js';
import { Store } from './store.js';

const POINTS = 300;
const POINTS_OF_RUN = 60;
const TICK_MS = 1000;
/** A run of which nothing came for so long moves nothing now. */
const STILL_MS = 4000;

interface Moving {
  rate: Rate;
  heardAt: number;
  /** Bytes per second, each second; the newest is the last. */
  past: number[];
}

export class Throughput extends Store implements Source {
  readonly moving = false;
  /** Unix seconds, and bytes per second at each of them. */
  readonly times: number[] = [];
  readonly values: number[] = [];

  private readonly runs = new Map<number, Moving>();
  private timer: ReturnType<typeof setInterval> | undefined;

  start(): void {
    this.timer ??= setInterval(() => {
      this.tick();
    }, TICK_MS);
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  refresh(): Promise<void> {
    return Promise.resolve();
  }

  apply(type: string, data: unknown): void {
    if (type === 'run') this.take(data as Run);
  }

  take(run: Run): void {
    if (hasEnded(run)) {
      this.runs.delete(run.id);
      return;
    }
    const known = this.runs.get(run.id) ?? { rate: new Rate(), heardAt: 0, past: [] };
    known.heardAt = performance.now();
    known.rate.add(known.heardAt, run.bytes_done);
    this.runs.set(run.id, known);
  }

  /** Bytes per second of one run; undefined while too little is known. */
  of(runId: number): number | undefined {
    return this.runs.get(runId)?.rate.perSecond;
  }

  /** The last minute of one run, second by second. */
  past(runId: number): readonly number[] {
    return this.runs.get(runId)?.past ?? [];
  }

  get now(): number {
    const fresh = performance.now() - STILL_MS;
    let sum = 0;
    for (const { rate, heardAt } of this.runs.values()) if (heardAt >= fresh) sum += rate.perSecond ?? 0;
    return sum;
  }

  private tick(): void {
    this.times.push(Math.floor(Date.now() / 1000));
    this.values.push(this.now);
    const fresh = performance.now() - STILL_MS;
    for (const one of this.runs.values()) {
      one.past = [...one.past.slice(1 - POINTS_OF_RUN), one.heardAt >= fresh ? (one.rate.perSecond ?? 0) : 0];
    }
    if (this.times.length > POINTS) {
      this.times.shift();
      this.values.shift();
    }
    this.changed();
  }
}
