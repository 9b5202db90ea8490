import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Client } from '../api/client.js';
import { FakeHub, json, problem } from '../api/fake_hub.js';
import { Session } from '../api/session.js';
import type { Page } from '../api/types.js';
import { Live } from './live.js';
import { Rows } from './rows.js';

interface Row {
  id: number;
  status: string;
}

let hub: FakeHub;
let live: Live;
let rows: Rows<Row>;
let stream: ReadableStreamDefaultController<Uint8Array>;

function serveFeed(): void {
  hub.on('GET /api/events', asked => {
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        stream = controller;
        asked.signal?.addEventListener('abort', () => {
          controller.error(asked.signal?.reason);
        });
      },
    });
    return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } });
  });
}

function send(text: string): void {
  stream.enqueue(new TextEncoder().encode(text));
}

beforeEach(async () => {
  vi.useFakeTimers();
  localStorage.clear();
  hub = new FakeHub();
  const session = new Session();
  await session.login('me@example.org', 'secret');
  const client = new Client(session);
  live = new Live(client);
  rows = new Rows<Row>({
    read: () => client.get('/api/runs') as Promise<Page<{ id: number }>> as Promise<Page<Row>>,
    event: 'run',
    newest: 'first',
    moving: row => row.status === 'moving',
  });
  hub.on('GET /api/runs', () => json({ items: [{ id: 1, status: 'moving' }], next_cursor: null }));
  live.add(rows);
});

afterEach(() => {
  live.stop();
  vi.useRealTimers();
});

describe('Live', () => {
  it('polls every 2 seconds while the feed is blocked, and says so', async () => {
    live.start();
    await vi.advanceTimersByTimeAsync(100);
    expect(live.link).toBe('polling');
    const before = hub.count('/api/runs');
    hub.on('GET /api/runs', () => json({ items: [{ id: 1, status: 'done' }], next_cursor: null }));
    await vi.advanceTimersByTimeAsync(2100);
    expect(rows.items).toEqual([{ id: 1, status: 'done' }]);
    await vi.advanceTimersByTimeAsync(8000);
    expect(hub.count('/api/runs') - before).toBe(5);
  });

  it('goes over to the feed when that comes, and back when it breaks', async () => {
    live.start();
    await vi.advanceTimersByTimeAsync(100);
    serveFeed();
    await vi.advanceTimersByTimeAsync(5000);
    expect(live.link).toBe('polling');
    send(': hello\n\n');
    await vi.advanceTimersByTimeAsync(50);
    expect(live.link).toBe('live');
    send(
      'id: 5\nevent: run\ndata: {"id":1,"status":"done"}\n\nid: 6\nevent: run\ndata: {"id":2,"status":"done"}\n\n',
    );
    await vi.advanceTimersByTimeAsync(50);
    expect(rows.items).toEqual([
      { id: 2, status: 'done' },
      { id: 1, status: 'done' },
    ]);
    const before = hub.count('/api/runs');
    send(': still here\n\n');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(hub.count('/api/runs')).toBe(before);
    stream.close();
    await vi.advanceTimersByTimeAsync(100);
    expect(live.link).toBe('polling');
    await vi.advanceTimersByTimeAsync(3000);
    expect(hub.count('/api/events')).toBeGreaterThan(1);
  });

  it('asks all the same when the feed is up and silent about what moves', async () => {
    serveFeed();
    live.start();
    await vi.advanceTimersByTimeAsync(10);
    send(': hello\n\n');
    await vi.advanceTimersByTimeAsync(10);
    expect(live.link).toBe('live');
    const before = hub.count('/api/runs');
    await vi.advanceTimersByTimeAsync(4100);
    expect(hub.count('/api/runs') - before).toBe(2);
  });

  it('reads everything again at a reset, and gives up a feed that says nothing at all', async () => {
    hub.on('GET /api/runs', () => json({ items: [], next_cursor: null }));
    serveFeed();
    live.start();
    await vi.advanceTimersByTimeAsync(10);
    send(': hello\n\n');
    await vi.advanceTimersByTimeAsync(10);
    const before = hub.count('/api/runs');
    send('event: reset\ndata: {"reason":"too old"}\n\n');
    await vi.advanceTimersByTimeAsync(10);
    expect(hub.count('/api/runs') - before).toBe(1);
    await vi.advanceTimersByTimeAsync(21_000);
    expect(hub.count('/api/events')).toBe(2);
  });

  it('waits as long as the hub asks for, and says when nobody answers', async () => {
    hub.on('GET /api/runs', () => problem(503, 'unavailable', { 'Retry-After': '10' }));
    live.start();
    await vi.advanceTimersByTimeAsync(2100);
    expect(live.link).toBe('offline');
    const before = hub.count('/api/runs');
    await vi.advanceTimersByTimeAsync(7000);
    expect(hub.count('/api/runs')).toBe(before);
    hub.on('GET /api/runs', () => json({ items: [], next_cursor: null }));
    await vi.advanceTimersByTimeAsync(4000);
    expect(live.link).toBe('polling');
    expect(rows.problem).toBeUndefined();
  });
});

describe('Rows', () => {
  it('keeps what the feed told while an older answer was on its way', async () => {
    let answer: (value: Response) => void = () => undefined;
    hub.on('GET /api/runs', () => new Promise(resolve => void (answer = resolve)));
    const reading = rows.refresh();
    await vi.advanceTimersByTimeAsync(1);
    rows.apply('run', { id: 1, status: 'done' });
    rows.apply('run', { id: 2, status: 'moving' });
    rows.apply('agent', { id: 3, status: 'online' });
    answer(json({ items: [{ id: 1, status: 'moving' }], next_cursor: null }));
    await reading;
    expect(rows.items).toEqual([
      { id: 2, status: 'moving' },
      { id: 1, status: 'done' },
    ]);
  });

  it('drops a row that no longer belongs', async () => {
    const moving = new Rows<Row>({
      read: () => Promise.resolve({ items: [{ id: 1, status: 'moving' }], next_cursor: null }),
      event: 'run',
      newest: 'last',
      belongs: row => row.status === 'moving',
    });
    await moving.refresh();
    moving.apply('run', { id: 1, status: 'done' });
    moving.apply('run', { id: 2, status: 'done' });
    expect(moving.items).toEqual([]);
  });
});
