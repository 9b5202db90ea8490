import { texts } from '../texts.js';

/** An answer of the hub that is an error (RFC 9457), or no answer at all: then `status` is 0. `message` is for people. */
export class Problem extends Error {
  constructor(
    message: string,
    readonly status: number,
    readonly code: string,
    /** Seconds to wait before the same is worth asking again; 0 when the hub did not say. */
    readonly retryAfter = 0,
  ) {
    super(message);
    this.name = 'Problem';
  }

  /** Nobody answered, or somebody in between did: asking again later may help. */
  get temporary(): boolean {
    return this.status === 0 || this.status === 429 || this.status >= 502;
  }
}

export function unreachable(): Problem {
  return new Problem(texts.problem.unreachable, 0, 'unreachable');
}

/** Reads what an answer that is not 2xx says; whatever its body is, a readable Problem comes out. */
export async function problemOf(answer: Response): Promise<Problem> {
  const retryAfter = secondsOf(answer.headers.get('Retry-After'));
  const body: unknown = await answer.json().catch(() => null);
  const document = isRecord(body) ? body : {};
  const fields = fieldsOf(document['errors']);
  const code = typeof document['code'] === 'string' ? document['code'] : 'unknown';
  let message =
    typeof document['detail'] === 'string' ? document['detail'] : texts.problem.unknown(answer.status);
  const named = Object.entries(fields);
  if (named.length) message = named.map(([name, lines]) => `${name}: ${lines.join(' ')}`).join(' ');
  return new Problem(sentence(message), answer.status, code, retryAfter);
}

/** The text to show for anything that was thrown. */
export function readable(error: unknown): string {
  return error instanceof Problem ? error.message : texts.problem.inside;
}

function secondsOf(header: string | null): number {
  const seconds = Number(header);
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 3600) : 0;
}

function fieldsOf(value: unknown): Record<string, string[]> {
  if (!isRecord(value)) return {};
  return Object.fromEntries(
    Object.entries(value).map(([name, lines]) => [name, Array.isArray(lines) ? lines.map(String) : []]),
  );
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
