/** Rows that other rows name by id, as a run names its job. What is asked for and not there is fetched, once, and kept. */
import { Problem } from '../api/problem.js';
import type { Page } from '../api/types.js';
import type { Source } from './live.js';
import { Store } from './store.js';

const LIST_MAX = 200;
const AGAIN_MS = 15_000;
const AT_ONCE = 4;

/** How the rows are read: the first page, and one by its id. */
interface Reader<Row> {
  list: (limit: number) => Promise<Page<Row>>;
  one: (id: number) => Promise<Row>;
}

export class Known<Row extends { id: number }> extends Store implements Source {
  readonly moving = false;

  private readonly rows = new Map<number, Row>();
  private readonly asked = new Set<number>();
  private readonly queue: number[] = [];
  private active = 0;
  private readAt = -AGAIN_MS;
  private first: Promise<void> | undefined;

  constructor(
    private readonly read: Reader<Row>,
    /** The type of the feed's events about them. */
    private readonly event: string,
  ) {
    super();
  }

  /** The row, or undefined until it has come; who subscribes is told then. */
  get(id: number): Row | undefined {
    const row = this.rows.get(id);
    if (!row && this.first && !this.asked.has(id)) {
      this.asked.add(id);
      this.queue.push(id);
      void this.first.finally(() => {
        this.next();
      });
    }
    return row;
  }

  /** Forgets everything: another user may see other things. */
  clear(): void {
    this.rows.clear();
    this.asked.clear();
    this.queue.length = 0;
    this.readAt = -AGAIN_MS;
    this.first = undefined;
  }

  async refresh(): Promise<void> {
    if (performance.now() - this.readAt < AGAIN_MS) return;
    this.readAt = performance.now();
    this.asked.clear();
    const reading = this.read.list(LIST_MAX).then(page => {
      for (const row of page.items) this.rows.set(row.id, row);
      this.changed();
    });
    this.first ??= reading.catch(() => undefined);
    await reading;
  }

  apply(type: string, data: unknown): void {
    if (type !== this.event) return;
    const row = data as Row;
    // An event of a job says only that it has changed.
    if ('name' in row) this.rows.set(row.id, row);
    else if (this.rows.has(row.id)) this.fetch(row.id);
    this.changed();
  }

  private next(): void {
    while (this.active < AT_ONCE) {
      const id = this.queue.shift();
      if (id === undefined) return;
      if (!this.rows.has(id)) this.fetch(id);
    }
  }

  private fetch(id: number): void {
    this.active += 1;
    this.read
      .one(id)
      .then(row => {
        this.rows.set(id, row);
        this.changed();
      })
      .catch((error: unknown) => {
        // A job that is gone keeps the name that is known; a number is shown for one that never was.
        if (!(error instanceof Problem)) throw error;
      })
      .finally(() => {
        this.active -= 1;
        this.next();
      });
  }
}
