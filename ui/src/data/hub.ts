/** Everything of the hub that the pages use; the app makes one. */
import { Client } from '../api/client.js';
import { Session } from '../api/session.js';
import {
  hasEnded,
  type Agent,
  type Job,
  type Run,
  type RunStatus,
  type Transfer,
  type TransferStatus,
} from '../api/types.js';
import { Known } from './known.js';
import { Live } from './live.js';
import { Rows } from './rows.js';

export const ACTIVE_RUNS: readonly RunStatus[] = [
  'queued',
  'waiting_agent',
  'planning',
  'transferring',
  'verifying',
  'paused',
];
export const BAD_RUNS: readonly RunStatus[] = ['failed', 'partial', 'cancelled'];

export class Hub {
  readonly session = new Session();
  readonly client = new Client(this.session);
  readonly live = new Live(this.client);
  readonly agentsById = new Known<Agent>(
    {
      list: limit => this.client.get('/api/agents', { query: { limit } }),
      one: id => this.client.get('/api/agents/{agent_id}', { id }),
    },
    'agent',
  );
  readonly jobsById = new Known<Job>(
    {
      list: limit => this.client.get('/api/jobs', { query: { limit } }),
      one: id => this.client.get('/api/jobs/{job_id}', { id }),
    },
    'job',
  );

  agents(first?: number): Rows<Agent> {
    return new Rows<Agent>({
      first,
      read: (limit, cursor) => this.client.get('/api/agents', { query: { limit, cursor, sort: 'name' } }),
      event: 'agent',
      newest: 'last',
      belongs: agent => !agent.temporary,
    });
  }

  runs(statuses: readonly RunStatus[]): Rows<Run> {
    return new Rows<Run>({
      read: (limit, cursor) =>
        this.client.get('/api/runs', {
          query: { limit, cursor, sort: '-created_at', status: [...statuses] },
        }),
      event: 'run',
      newest: 'first',
      belongs: run => statuses.length === 0 || statuses.includes(run.status),
      moving: run => !hasEnded(run),
    });
  }

  /** `name`: a part of the file's name, in any case; `code`: of what became of it. */
  transfers(runId: number, statuses: readonly TransferStatus[], name = '', code = ''): Rows<Transfer> {
    const part = name.toLowerCase();
    return new Rows<Transfer>({
      read: (limit, cursor) =>
        this.client.get('/api/transfers', {
          query: {
            run_id: runId,
            limit,
            cursor,
            sort: 'id',
            status: [...statuses],
            filename: name || undefined,
            code: code || undefined,
          },
        }),
      event: 'transfer',
      newest: 'last',
      belongs: row =>
        row.run_id === runId &&
        (statuses.length === 0 || statuses.includes(row.status)) &&
        row.filename.toLowerCase().includes(part) &&
        (code === '' || row.code === code),
    });
  }

  startRun(jobId: number): Promise<Run> {
    return this.client.post('/api/jobs/{job_id}/run', { id: jobId });
  }

  cancelRun(runId: number): Promise<Run> {
    return this.client.post('/api/runs/{run_id}/cancel', { id: runId });
  }
}
