import { beforeEach, describe, expect, it } from 'vitest';

import { Client } from './client.js';
import { FakeHub, json, problem } from './fake_hub.js';
import { Session } from './session.js';

let hub: FakeHub;
let session: Session;
let client: Client;

beforeEach(() => {
  localStorage.clear();
  hub = new FakeHub();
  session = new Session();
  client = new Client(session);
  hub.on('GET /api/runs', () => json({ items: [], next_cursor: null }));
});

describe('Session', () => {
  it('asks nobody when this browser never logged in', async () => {
    await session.start();
    expect(session.user).toBeNull();
    expect(hub.asked).toEqual([]);
  });

  it('keeps no token where a script or another visit could find it', async () => {
    await session.login('me@example.org', 'secret');
    expect(session.user?.role).toBe('operator');
    expect(hub.asked[0]?.body).toEqual({ email: 'me@example.org', password: 'secret', cookie: true });
    expect(JSON.stringify(localStorage) + JSON.stringify(sessionStorage) + document.cookie).not.toContain(
      'token-',
    );
  });

  it('takes up an earlier session with the cookie alone', async () => {
    await session.login('me@example.org', 'secret');
    const later = new Session();
    await later.start();
    expect(later.user?.email).toBe('me@example.org');
    expect(hub.asked[1]).toMatchObject({ path: '/api/auth/refresh', body: {}, token: null });
  });

  it('renews once for all who need it', async () => {
    await session.login('me@example.org', 'secret');
    let refused = 0;
    hub.on('GET /api/runs', asked => {
      if (asked.token === 'Bearer token-2') return json({ items: [], next_cursor: null });
      refused += 1;
      return problem(401, 'token_expired');
    });
    await Promise.all([1, 2, 3].map(() => client.get('/api/runs')));
    expect(refused).toBe(3);
    expect(hub.count('/api/auth/refresh')).toBe(1);
  });

  it('ends when the hub says no, and not when it is away', async () => {
    await session.login('me@example.org', 'secret');
    hub.on('GET /api/runs', () => problem(401, 'token_expired'));
    hub.on('POST /api/auth/refresh', () => problem(503, 'unavailable', { 'Retry-After': '2' }));
    await expect(client.get('/api/runs')).rejects.toMatchObject({ status: 503, retryAfter: 2 });
    expect(session.user).not.toBeNull();
    hub.on('POST /api/auth/refresh', () => problem(401, 'refresh_reused'));
    await expect(client.get('/api/runs')).rejects.toMatchObject({ status: 401 });
    expect(session.user).toBeNull();
    expect(session.reason).not.toBe('');
  });

  it('is over here even when the hub cannot be told', async () => {
    await session.login('me@example.org', 'secret');
    await expect(session.logout()).rejects.toMatchObject({ status: 0 });
    expect(session.user).toBeNull();
    const later = new Session();
    await later.start();
    expect(later.user).toBeNull();
  });
});

describe('Client', () => {
  beforeEach(() => session.login('me@example.org', 'secret'));

  it('puts ids into the path, queries behind it and the token into a header only', async () => {
    hub.on('GET /api/runs/12', () => json({ id: 12 }));
    await client.get('/api/runs/{run_id}', { id: 12 });
    await client.get('/api/runs', { query: { limit: 5 } });
    expect(hub.asked.slice(-2)).toMatchObject([
      { path: '/api/runs/12', token: 'Bearer token-1' },
      { path: '/api/runs?limit=5', token: 'Bearer token-1' },
    ]);
  });

  it('asks again with the same key when no answer came, and only then', async () => {
    let tries = 0;
    hub.on('POST /api/jobs/3/run', () => {
      tries += 1;
      if (tries === 1) throw new TypeError('broken off');
      return json({ id: 9 }, 202);
    });
    expect(await client.post('/api/jobs/{job_id}/run', { id: 3 })).toEqual({ id: 9 });
    const [one, two] = hub.asked.slice(-2);
    expect(one?.key).toMatch(/^[0-9a-f]{32}$/);
    expect(two?.key).toBe(one?.key);
    hub.on('POST /api/jobs/3/run', () => problem(409, 'job_disabled'));
    await expect(client.post('/api/jobs/{job_id}/run', { id: 3 })).rejects.toMatchObject({
      code: 'job_disabled',
      message: 'It is job_disabled',
    });
    expect(hub.count('/api/jobs/3/run')).toBe(3);
  });

  it.each([
    [() => json({ status: 422, errors: { name: ['Missing.'] } }, 422), /name: Missing\./i],
    [() => new Response('<html>Bad gateway</html>', { status: 502 }), /502/],
    [() => new Response('<html>A portal</html>', { status: 200 }), /does not answer/],
  ])('makes a readable sentence of any answer', async (answer, text) => {
    hub.on('GET /api/runs', answer);
    await expect(client.get('/api/runs')).rejects.toThrow(text);
  });
});
