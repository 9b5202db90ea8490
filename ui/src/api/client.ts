/** Requests as the user who is logged in: paths and queries are those of the hub's own description. */
import { Problem, problemOf, unreachable } from './problem.js';
import type { Answer, PathOf, Query } from './paths.js';
import type { Session } from './session.js';
import { send, type Sent } from './wire.js';

/** The ids of a path, in their order. */
type Ids = number | readonly number[];

interface Change {
  id?: Ids;
  body?: unknown;
  /** Refused with 412 when the row is not in this version any more. */
  version?: number;
}

export class Client {
  constructor(readonly session: Session) {}

  /** The JSON of an answer. Rejects with a Problem for every other answer, and for none. */
  async get<Path extends PathOf<'get'>>(
    path: Path,
    { id, query, signal }: { id?: Ids; query?: Query<'get', Path>; signal?: AbortSignal | undefined } = {},
  ): Promise<Answer<'get', Path>> {
    return (await this.json('GET', filled(path, id) + search(query), { signal })) as Answer<'get', Path>;
  }

  /** Like `get`. It is asked a second time when no answer came; the hub knows by the key that it is the same request. */
  async post<Path extends PathOf<'post'>>(
    path: Path,
    { id, body }: { id?: Ids; body?: unknown } = {},
  ): Promise<Answer<'post', Path>> {
    const sent: Sent = { body, headers: { 'Idempotency-Key': randomKey() } };
    let answer: unknown;
    try {
      answer = await this.json('POST', filled(path, id), sent);
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 0) throw error;
      answer = await this.json('POST', filled(path, id), sent);
    }
    return answer as Answer<'post', Path>;
  }

  async patch<Path extends PathOf<'patch'>>(
    path: Path,
    { id, body, version }: Change,
  ): Promise<Answer<'patch', Path>> {
    const sent: Sent = { body, headers: ifMatch(version) };
    return (await this.json('PATCH', filled(path, id), sent)) as Answer<'patch', Path>;
  }

  async delete(path: PathOf<'delete'>, { id, version }: Change): Promise<void> {
    await this.json('DELETE', filled(path, id), { headers: ifMatch(version) });
  }

  /** A good answer of which the body has not been read; for streams. */
  async open(method: string, path: string, sent: Sent = {}): Promise<Response> {
    const token = await this.session.bearer();
    let answer = await send(method, path, { ...sent, token });
    if (answer.status === 401) {
      answer = await send(method, path, { ...sent, token: await this.session.replace(token) });
    }
    if (!answer.ok) throw await problemOf(answer);
    return answer;
  }

  private async json(method: string, path: string, sent: Sent): Promise<unknown> {
    const answer = await this.open(method, path, sent);
    if (answer.status === 204) return undefined;
    try {
      return await answer.json();
    } catch (error) {
      // The body broke off, or something in between answered with a page of its own.
      if (sent.signal?.aborted) throw error;
      throw unreachable();
    }
  }
}

function filled(path: string, id: Ids | undefined): string {
  const ids = typeof id === 'number' ? [id] : [...(id ?? [])];
  return path.replace(/\{\w+\}/g, () => String(ids.shift()));
}

function ifMatch(version: number | undefined): Record<string, string> {
  return version === undefined ? {} : { 'If-Match': `"${version}"` };
}

function search(query: object | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) parameters.append(name, String(one));
    }
  }
  const text = parameters.toString();
  return text && `?${text}`;
}

/** `crypto.randomUUID` is for secure origins only. */
function randomKey(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), byte =>
    byte.toString(16).padStart(2, '0'),
  ).join('');
}
