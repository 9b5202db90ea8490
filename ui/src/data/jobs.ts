/** The list of jobs with the newest run of each. */
import type { Client } from '../api/client.js';
import { hasEnded, type Job, type Run } from '../api/types.js';
import type { Source } from './live.js';
import { Rows } from './rows.js';
import { Store } from './store.js';

const RUNS_READ = 200;
const CHANGES_MS = 300;

export class Jobs extends Rows<Job> {
  private changes: ReturnType<typeof setTimeout> | undefined;

  constructor(client: Client) {
    super({
      read: (limit, cursor) => client.get('/api/jobs', { query: { limit, cursor, sort: 'name' } }),
      event: 'job',
      newest: 'last',
    });
  }

  /** An event of a job says only that it has changed: the list is read again, once for many changes. */
  override apply(type: string): void {
    if (type !== 'job') return;
    this.changes ??= setTimeout(() => {
      this.changes = undefined;
      void this.refresh().catch(() => undefined);
    }, CHANGES_MS);
  }
}

export class LastRuns extends Store implements Source {
  private readonly byJob = new Map<number, Run>();
  /** Jobs whose newest run is older than all that a reading gives; asked for one by one, once. */
  private readonly asked = new Set<number>();

  constructor(
    private readonly client: Client,
    private readonly jobs: Jobs,
  ) {
    super();
  }

  get moving(): boolean {
    return [...this.byJob.values()].some(run => !hasEnded(run));
  }

  /** Undefined for a job that never ran. */
  of(jobId: number): Run | undefined {
    return this.byJob.get(jobId);
  }

  async refresh(): Promise<void> {
    const page = await this.client.get('/api/runs', { query: { limit: RUNS_READ } });
    for (const run of page.items) this.take(run);
    this.changed();
    if (page.next_cursor === null) return;
    const missing = this.jobs.items.filter(job => !this.byJob.has(job.id) && !this.asked.has(job.id));
    for (const job of missing) {
      this.asked.add(job.id);
      const found = await this.client.get('/api/runs', { query: { job_id: job.id, limit: 1 } });
      for (const run of found.items) this.take(run);
    }
    this.changed();
  }

  apply(type: string, data: unknown): void {
    if (type !== 'run') return;
    this.take(data as Run);
    this.changed();
  }

  private take(run: Run): void {
    const known = this.byJob.get(run.job_id);
    // An answer that was on its way when the run ended is older than what is known.
    if (known && (run.id < known.id || (run.id === known.id && hasEnded(known)))) return;
    this.byJob.set(run.job_id, run);
  }
}
