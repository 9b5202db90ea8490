/**
 * Keeps what is on the page true. Sources are told of events while the feed is up, and asked to read everything again when it comes up,
 * when it says `reset`, and every 2 seconds while it is down or says nothing of something that moves.
 */
import type { Client } from '../api/client.js';
import { Problem } from '../api/problem.js';
import { Feed, type FeedListener } from './feed.js';
import type { FeedEvent } from './sse.js';
import { Store } from './store.js';

const POLL_MS = 2000;
/** With the feed up and nothing moving, the whole is read again so often all the same. */
const RELOAD_MS = 60_000;

/** What a page shows and how it comes up to date. */
export interface Source {
  /** Read everything again. Rejects with a Problem when that fails; the source shows it itself. */
  refresh(): Promise<void>;
  /** One change that the feed told; `data` is the row as the API shows it. */
  apply(type: string, data: unknown): void;
  /** Whether its rows change every second now. */
  readonly moving: boolean;
}

export type Link = 'connecting' | 'live' | 'polling' | 'offline';

export class Live extends Store implements FeedListener {
  link: Link = 'connecting';

  private readonly sources = new Set<Source>();
  private readonly feed: Feed;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private eventAt = 0;
  private readAt = 0;
  private notBefore = 0;
  private reading = false;
  private readAgain = false;

  constructor(client: Client) {
    super();
    this.feed = new Feed(client, this);
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible' && this.timer !== undefined) this.read();
    });
  }

  start(): void {
    if (this.timer !== undefined) return;
    this.feed.start();
    this.tick();
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    this.feed.stop();
    this.show('connecting');
  }

  /** Keeps `source` up to date until the function that is returned is called. */
  add(source: Source): () => void {
    this.sources.add(source);
    void this.readOne(source);
    return () => this.sources.delete(source);
  }

  feedUp(): void {
    this.show('live');
    this.read();
  }

  feedDown(): void {
    if (this.link === 'live') this.show('polling');
  }

  feedEvent(event: FeedEvent): void {
    this.eventAt = performance.now();
    if (event.type === 'reset') {
      this.read();
      return;
    }
    let data: unknown;
    try {
      data = JSON.parse(event.data);
    } catch {
      this.read();
      return;
    }
    for (const source of this.sources) source.apply(event.type, data);
  }

  private tick(): void {
    this.timer = setTimeout(() => {
      this.tick();
    }, POLL_MS);
    const now = performance.now();
    if (now < this.notBefore) return;
    const moving = [...this.sources].some(source => source.moving);
    const silent = moving && now - this.eventAt >= POLL_MS;
    if (!this.feed.up || silent || now - this.readAt >= RELOAD_MS) this.read();
  }

  private read(): void {
    // What asks for a reading may be newer than the answer that is on its way.
    if (this.reading) {
      this.readAgain = true;
      return;
    }
    this.reading = true;
    this.readAt = performance.now();
    void Promise.all([...this.sources].map(source => this.readOne(source))).then(() => {
      this.reading = false;
      if (!this.readAgain) return;
      this.readAgain = false;
      this.read();
    });
  }

  private async readOne(source: Source): Promise<void> {
    try {
      await source.refresh();
      if (!this.feed.up) this.show('polling');
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.notBefore = performance.now() + error.retryAfter * 1000;
      if (error.temporary && !this.feed.up) this.show('offline');
    }
  }

  private show(link: Link): void {
    if (this.link === link) return;
    this.link = link;
    this.changed();
  }
}
