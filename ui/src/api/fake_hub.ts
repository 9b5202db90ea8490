/** A hub for tests: answers `fetch` from a script and remembers what was asked. */
import { vi } from 'vitest';

export interface Asked {
  method: string;
  path: string;
  token: string | null;
  key: string | null;
  body: unknown;
  signal: AbortSignal | undefined;
}

type Answer = (asked: Asked) => Response | Promise<Response>;

export class FakeHub {
  readonly asked: Asked[] = [];
  readonly answers = new Map<string, Answer>();
  private logins = 0;

  constructor() {
    this.on('POST /api/auth/login', () => this.login());
    this.on('POST /api/auth/refresh', () => this.login());
    vi.stubGlobal('fetch', async (path: string, init: RequestInit) => {
      const headers = new Headers(init.headers);
      const asked: Asked = {
        method: init.method ?? 'GET',
        path,
        token: headers.get('Authorization'),
        key: headers.get('Idempotency-Key'),
        body: typeof init.body === 'string' ? JSON.parse(init.body) : undefined,
        signal: init.signal ?? undefined,
      };
      this.asked.push(asked);
      const answer = this.answers.get(`${asked.method} ${path.split('?')[0] ?? ''}`);
      if (!answer) throw new TypeError('nobody answers');
      return await answer(asked);
    });
  }

  on(route: string, answer: Answer): void {
    this.answers.set(route, answer);
  }

  count(path: string): number {
    return this.asked.filter(asked => asked.path.split('?')[0] === path).length;
  }

  private login(): Response {
    this.logins += 1;
    return json({
      token: `token-${this.logins}`,
      expires_at: new Date(Date.now() + 900_000).toISOString(),
      user: { id: 1, email: 'me@example.org', name: '', role: 'operator' },
    });
  }
}

export function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
  });
}

export function problem(status: number, code: string, headers: Record<string, string> = {}): Response {
  return json({ status, code, detail: `it is ${code}` }, status, headers);
}
