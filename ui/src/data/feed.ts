/**
 * The live feed of the hub, read with `fetch` because an EventSource cannot send the token.
 *
 * It counts as up from its first byte on: something in between may hold back a stream that the hub has opened. It is given up when
 * nothing at all came for longer than the hub ever is silent, and tried again after a pause that doubles.
 */
import type { Client } from '../api/client.js';
import { Problem } from '../api/problem.js';
import { EventParser, type FeedEvent } from './sse.js';

/** The hub sends a comment every 15 s. */
const SILENCE_MS = 20_000;
const PAUSE_FIRST_MS = 500;
const PAUSE_MAX_MS = 15_000;

export interface FeedListener {
  /** The feed is up; what happened before may have been missed. */
  feedUp(): void;
  feedDown(): void;
  feedEvent(event: FeedEvent): void;
}

export class Feed {
  private stopped: AbortController | undefined;
  private lastId = '';
  private isUp = false;

  constructor(
    private readonly client: Client,
    private readonly listener: FeedListener,
  ) {}

  get up(): boolean {
    return this.isUp;
  }

  start(): void {
    if (this.stopped) return;
    this.stopped = new AbortController();
    void this.run(this.stopped.signal);
  }

  stop(): void {
    this.stopped?.abort();
    this.stopped = undefined;
    this.lastId = '';
    this.isUp = false;
  }

  private async run(stopped: AbortSignal): Promise<void> {
    let pause = PAUSE_FIRST_MS;
    while (!stopped.aborted) {
      let problem: unknown;
      try {
        await this.read(stopped);
      } catch (error) {
        problem = error;
      }
      if (isOver(stopped)) return;
      pause = this.isUp ? PAUSE_FIRST_MS : Math.min(pause * 2, PAUSE_MAX_MS);
      this.isUp = false;
      this.listener.feedDown();
      const asked = problem instanceof Problem ? problem.retryAfter * 1000 : 0;
      // All pages of a hub that starts again would come back in the same moment.
      await wait(Math.max(pause, asked) * (0.75 + Math.random() / 2), stopped);
    }
  }

  private async read(stopped: AbortSignal): Promise<void> {
    const ended = new AbortController();
    const stop = () => {
      ended.abort();
    };
    stopped.addEventListener('abort', stop);
    let silence = setTimeout(stop, SILENCE_MS);
    try {
      const headers: Record<string, string> = { Accept: 'text/event-stream' };
      if (this.lastId) headers['Last-Event-ID'] = this.lastId;
      const answer = await this.client.open('GET', '/api/events', { headers, signal: ended.signal });
      if (!answer.body || !answer.headers.get('Content-Type')?.startsWith('text/event-stream')) return;
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
      const parser = new EventParser();
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        clearTimeout(silence);
        silence = setTimeout(stop, SILENCE_MS);
        if (!this.isUp) {
          this.isUp = true;
          this.listener.feedUp();
        }
        for (const event of parser.push(value)) {
          this.lastId = event.type === 'reset' ? '' : event.id;
          this.listener.feedEvent(event);
        }
      }
    } finally {
      clearTimeout(silence);
      stopped.removeEventListener('abort', stop);
      ended.abort();
    }
  }
}

/** A signal changes while it is waited for, which the compiler does not see. */
function isOver(signal: AbortSignal): boolean {
  return signal.aborted;
}

function wait(ms: number, stopped: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    const timer = setTimeout(resolve, ms);
    stopped.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
