/**
 * Who is logged in. The access token lives in this object only; the refresh token is a cookie that no script can read.
 *
 * Local storage holds one mark, that this browser has logged in: without it nobody is asked for a session that cannot be there.
 */
import { Store } from '../data/store.js';
import { texts } from '../texts.js';
import { exclusively } from './lock.js';
import { Problem, problemOf } from './problem.js';
import type { Login, User } from './types.js';
import { send } from './wire.js';

const MARK = 'fileflux.session';
/** A token is renewed so long before it ends that a request made with it arrives in time. */
const EARLY_MS = 30_000;

export class Session extends Store {
  /** `undefined` until it is known whether there is a session, `null` when there is none. */
  user: User | null | undefined = undefined;
  /** Why a session that was there is gone; empty otherwise. */
  reason = '';

  private token = '';
  private staleAt = 0;
  private renewal: Promise<void> | undefined;

  constructor() {
    super();
    // Logging out in one tab logs out of all.
    addEventListener('storage', event => {
      if (event.key === MARK && event.newValue === null && this.user) this.end('');
    });
  }

  /** Takes up the session of an earlier visit. Rejects only when the hub cannot tell. */
  async start(): Promise<void> {
    if (localStorage.getItem(MARK) === null) {
      this.end('');
      return;
    }
    await this.renew().catch((error: unknown) => {
      if (!(error instanceof Problem) || error.status !== 401) throw error;
    });
  }

  async login(email: string, password: string): Promise<void> {
    const answer = await send('POST', '/api/auth/login', { body: { email, password, cookie: true } });
    if (!answer.ok) throw await problemOf(answer);
    await this.take(answer);
  }

  /** Every session of this user ends, and a new one begins here. */
  async changePassword(current: string, password: string): Promise<void> {
    const body = { current_password: current, password, cookie: true };
    const answer = await send('POST', '/api/auth/password', { body, token: await this.bearer() });
    if (!answer.ok) throw await problemOf(answer);
    await this.take(answer);
  }

  /** Ends the session here at once, and at the hub when it can be reached. */
  async logout(): Promise<void> {
    const token = await this.bearer().catch(() => '');
    this.end('');
    if (!token) return;
    const answer = await send('POST', '/api/auth/logout', { token });
    if (!answer.ok && answer.status !== 401) throw await problemOf(answer);
  }

  /** A token that is good for the next request. Rejects with a Problem; with status 401 the session is over. */
  async bearer(): Promise<string> {
    if (!this.token || performance.now() > this.staleAt) await this.renew();
    return this.token;
  }

  /** The hub refused `token`: get another one, unless that has happened meanwhile. */
  async replace(token: string): Promise<string> {
    if (token === this.token) await this.renew();
    return this.token;
  }

  private renew(): Promise<void> {
    this.renewal ??= exclusively(() => this.refresh()).finally(() => (this.renewal = undefined));
    return this.renewal;
  }

  private async refresh(): Promise<void> {
    const answer = await send('POST', '/api/auth/refresh', { body: {} });
    if (answer.ok) {
      await this.take(answer);
      return;
    }
    const problem = await problemOf(answer);
    // Only "no" ends the session; a hub that is away or busy says nothing about it.
    if (problem.status === 401 || problem.status === 403) {
      this.end(this.user ? texts.problem.sessionEnded : '');
      throw new Problem(texts.problem.sessionEnded, 401, problem.code);
    }
    throw problem;
  }

  private async take(answer: Response): Promise<void> {
    const login = (await answer.json()) as Login;
    // The clocks of this machine and of the hub may differ; how long the token lives does not.
    const sentAt = Date.parse(answer.headers.get('Date') ?? '');
    const lifetime = Date.parse(login.expires_at) - (Number.isNaN(sentAt) ? Date.now() : sentAt);
    this.token = login.token;
    this.staleAt = performance.now() + Math.max(lifetime - EARLY_MS, EARLY_MS);
    this.user = login.user;
    this.reason = '';
    localStorage.setItem(MARK, '1');
    this.changed();
  }

  private end(reason: string): void {
    this.token = '';
    this.user = null;
    this.reason = reason;
    localStorage.removeItem(MARK);
    this.changed();
  }
}
