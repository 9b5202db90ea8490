/** The rows of the API under the words of the product; every field is always there, though the description does not say so. */
import type { components } from './schema.js';

type Schemas = components['schemas'];
type Whole<Name extends keyof Schemas> = Required<Schemas[Name]>;

export type Agent = Whole<'AgentOut'>;
export type Job = Whole<'JobOut'>;
export type Run = Omit<Whole<'RunOut'>, 'bandwidth'> & { bandwidth?: Bandwidth | null };
export type Transfer = Whole<'TransferOut'>;
export type User = Whole<'Me'>;

/** The limit that holds for a run: bytes per second, who set it, and when the timetable lets another one hold. */
export interface Bandwidth {
  limit: number;
  set_by: string;
  until: string | null;
}

export type AgentStatus = Agent['status'];
export type RunStatus = Run['status'];
export type TransferStatus = Transfer['status'];
export type Role = User['role'];

/** The answer to a login or a refresh; the refresh token itself is in a cookie that no script can read. */
export interface Login {
  token: string;
  expires_at: string;
  user: User;
}

export interface Page<Row> {
  items: Row[];
  next_cursor: string | null;
}

/** What GET answers, by path; each path is one of the description. */
export interface Got {
  '/api/agents': Page<Agent>;
  '/api/agents/{agent_id}': Agent;
  '/api/jobs': Page<Job>;
  '/api/jobs/{job_id}': Job;
  '/api/runs': Page<Run>;
  '/api/runs/{run_id}': Run;
  '/api/transfers': Page<Transfer>;
}

/** What POST answers, by path. */
export interface Posted {
  '/api/jobs/{job_id}/run': Run;
  '/api/runs/{run_id}/cancel': Run;
}

const ENDED: readonly RunStatus[] = ['succeeded', 'partial', 'failed', 'cancelled'];

export function hasEnded(run: Pick<Run, 'status'>): boolean {
  return ENDED.includes(run.status);
}
