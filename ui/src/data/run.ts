/** One run with its rate. */
import type { Client } from '../api/client.js';
import { Problem } from '../api/problem.js';
import { hasEnded, type Run } from '../api/types.js';
import type { Source } from './live.js';
import { Rate } from './rate.js';
import { Store } from './store.js';

export class OneRun extends Store implements Source {
  run: Run | undefined;
  problem: Problem | undefined;
  readonly rate = new Rate();

  constructor(
    private readonly client: Client,
    private readonly id: number,
  ) {
    super();
  }

  get moving(): boolean {
    return this.run !== undefined && !hasEnded(this.run);
  }

  /** Seconds until everything is there at the present rate; undefined while that cannot be said. */
  get left(): number | undefined {
    const perSecond = this.rate.perSecond;
    // The total grows until the source has been read to its end.
    if (!this.run || this.run.files_total === null || !perSecond) return undefined;
    return (this.run.bytes_total - this.run.bytes_done) / perSecond;
  }

  async refresh(): Promise<void> {
    try {
      this.take(await this.client.get('/api/runs/{run_id}', { id: this.id }));
      this.problem = undefined;
    } catch (error) {
      if (error instanceof Problem) this.problem = error;
      throw error;
    } finally {
      this.changed();
    }
  }

  apply(type: string, data: unknown): void {
    if (type !== 'run' || (data as Run).id !== this.id) return;
    this.take(data as Run);
    this.changed();
  }

  /** Takes a newer state of the run, as the answer to a request gives it. */
  take(run: Run): void {
    // A run that has ended stays so; an answer that was on its way then is older.
    if (this.run && hasEnded(this.run) && !hasEnded(run)) return;
    this.run = run;
    if (run.status === 'transferring' || run.status === 'verifying')
      this.rate.add(performance.now(), run.bytes_done);
    this.changed();
  }
}
