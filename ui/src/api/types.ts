/** The rows of the API under the words of the product. */
import type { Whole } from './paths.js';
import type { components } from './schema.js';

type Schemas = components['schemas'];

export type Agent = Whole<Schemas['AgentOut']>;
export type Alert = Whole<Schemas['AlertOut']>;
export type AuditEntry = Whole<Schemas['AuditOut']>;
export type BrowseItem = Whole<Schemas['BrowseItemOut']>;
export type Dashboard = Whole<Schemas['DashboardOut']>;
export type Job = Whole<Schemas['JobOut']>;
export type JobVersion = Whole<Schemas['JobVersionOut']>;
export type Key = Whole<Schemas['KeyOut']>;
export type Match = Whole<Schemas['MatchOut']>;
export type Preview = Whole<Schemas['Preview']>;
export type Run = Omit<Whole<Schemas['RunOut']>, 'bandwidth'> & { bandwidth?: Bandwidth | null };
export type Settings = Whole<Schemas['SettingsOut']>;
export type TimetableEntry = Schemas['TimetableEntry'];
export type Token = Whole<Schemas['TokenOut']>;
export type Transfer = Whole<Schemas['TransferOut']>;
export type Upcoming = Whole<Schemas['UpcomingRun']>;
export type User = Whole<Schemas['Me']>;
export type UserRow = Whole<Schemas['UserOut']>;

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

const ENDED: readonly RunStatus[] = ['succeeded', 'partial', 'failed', 'cancelled'];

export function hasEnded(run: Pick<Run, 'status'>): boolean {
  return ENDED.includes(run.status);
}
