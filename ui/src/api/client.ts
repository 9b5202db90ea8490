/** Requests as the user who is logged in: paths and queries are those of the hub's own description. */
import { Problem, problemOf, unreachable } from './problem.js';
import type { paths } from './schema.js';
import type { Session } from './session.js';
import type { Got, Posted } from './types.js';
import { send, type Sent } from './wire.js';

type Get<Path extends keyof Got> = paths[Path] extends { get: infer Operation } ? Operation : never;
/** What is null or undefined is not sent. */
type Query<Path extends keyof Got> =
  Get<Path> extends { parameters: { query?: infer Wanted } }
    ? { [Name in keyof NonNullable<Wanted>]: NonNullable<Wanted>[Name] | null | undefined }
    : never;

export class Client {
  constructor(readonly session: Session) {}

  /** The JSON of an answer. Rejects with a Problem for every other answer, and for none. */
  async get<Path extends keyof Got>(
    path: Path,
    { id, query, signal }: { id?: number; query?: Query<Path>; signal?: AbortSignal | undefined } = {},
  ): Promise<Got[Path]> {
    return (await this.json('GET', filled(path, id) + search(query), { signal })) as Got[Path];
  }

  /** Like `get`. It is asked a second time when no answer came; the hub knows by the key that it is the same request. */
  async post<Path extends keyof Posted>(
    path: Path,
    { id, body }: { id?: number; body?: unknown } = {},
  ): Promise<Posted[Path]> {
    const sent: Sent = { body, headers: { 'Idempotency-Key': randomKey() } };
    try {
      return (await this.json('POST', filled(path, id), sent)) as Posted[Path];
    } catch (error) {
      if (!(error instanceof Problem) || error.status !== 0) throw error;
      return (await this.json('POST', filled(path, id), sent)) as Posted[Path];
    }
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

function filled(path: string, id: number | undefined): string {
  return path.replace(/\{\w+\}/, String(id));
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
