/** A list of the API, page by page, kept up to date in place. */
import { Problem } from '../api/problem.js';
import type { Page } from '../api/types.js';
import type { Source } from './live.js';
import { Store } from './store.js';

export const PAGE = 100;
/** The most that a page of the API holds. */
const PAGE_MAX = 200;
/** So many rows are read again, every 2 s at worst; those behind them change by what the feed tells. */
const READ_AGAIN_MAX = 1000;
/** Who wants to see more filters. */
const ROWS_MAX = 10_000;

interface Options<Row> {
  read: (limit: number, cursor: string | null) => Promise<Page<Row>>;
  /** The type of the feed's events that carry a row of this list. */
  event: string;
  /** Whether a row that was not there belongs into the list. */
  belongs?: (row: Row) => boolean;
  /** Where the API puts new rows. */
  newest: 'first' | 'last';
  moving?: (row: Row) => boolean;
  /** How many are read at first; PAGE unless it is said. */
  first?: number | undefined;
}

export class Rows<Row extends { id: number }> extends Store implements Source {
  items: readonly Row[] = [];
  loaded = false;
  problem: Problem | undefined;

  private cursor: string | null = null;
  private wanted: number;
  private reading = 0;
  private readingMore = false;
  /** Where each row is in `items`. */
  private places = new Map<number, number>();
  /** Rows that the feed told while a reading was on its way: they are newer than its answer. */
  private readonly told = new Map<number, Row>();

  constructor(private readonly options: Options<Row>) {
    super();
    this.wanted = options.first ?? PAGE;
  }

  get moving(): boolean {
    return this.options.moving ? this.items.some(this.options.moving) : false;
  }

  get hasMore(): boolean {
    return this.cursor !== null && this.items.length < ROWS_MAX;
  }

  async refresh(): Promise<void> {
    if (this.reading === 0) this.told.clear();
    this.reading += 1;
    try {
      const rows: Row[] = [];
      let cursor: string | null = null;
      const wanted = Math.min(this.wanted, READ_AGAIN_MAX);
      do {
        const page: Page<Row> = await this.options.read(Math.min(wanted - rows.length, PAGE_MAX), cursor);
        rows.push(...page.items);
        cursor = page.next_cursor;
      } while (cursor !== null && rows.length < wanted);
      this.replace(rows, cursor);
      this.loaded = true;
      for (const row of this.told.values()) this.put(row);
      this.problem = undefined;
    } catch (error) {
      if (error instanceof Problem) this.problem = error;
      throw error;
    } finally {
      this.reading -= 1;
      this.changed();
    }
  }

  /** The page behind the last row. Does nothing while one is on its way. */
  async showMore(): Promise<void> {
    if (this.readingMore || !this.hasMore) return;
    this.readingMore = true;
    try {
      const from = this.cursor;
      const page = await this.options.read(PAGE_MAX, from);
      // A reading of everything meanwhile has moved the end.
      if (from !== this.cursor) return;
      const more = page.items.filter(row => !this.places.has(row.id));
      this.set([...this.items, ...more].slice(0, ROWS_MAX));
      this.wanted = this.items.length;
      this.cursor = page.next_cursor;
    } catch (error) {
      if (error instanceof Problem) this.problem = error;
    } finally {
      this.readingMore = false;
      this.changed();
    }
  }

  apply(type: string, data: unknown): void {
    if (type !== this.options.event) return;
    const row = data as Row;
    if (this.reading) this.told.set(row.id, row);
    this.put(row);
    this.changed();
  }

  /** A reading of the first rows; what was shown behind them stays. */
  private replace(rows: Row[], cursor: string | null): void {
    if (cursor === null || this.items.length <= rows.length) {
      this.cursor = cursor;
      this.set(rows);
      return;
    }
    const read = new Set(rows.map(row => row.id));
    this.set([...rows, ...this.items.slice(rows.length).filter(row => !read.has(row.id))]);
  }

  private set(rows: readonly Row[]): void {
    this.items = rows;
    this.places = new Map(rows.map((row, place) => [row.id, place]));
  }

  private put(row: Row): void {
    const place = this.places.get(row.id);
    const belongs = this.options.belongs?.(row) ?? true;
    if (place !== undefined) {
      if (belongs) this.items = this.items.with(place, row);
      else this.set([...this.items.slice(0, place), ...this.items.slice(place + 1)]);
    } else if (belongs && this.loaded) {
      this.insert(row);
    }
  }

  private insert(row: Row): void {
    if (this.options.newest === 'first') {
      // An old row that moves again is not at the top: the next reading puts it where it belongs.
      const first = this.items[0];
      if (first === undefined || row.id > first.id) this.set([row, ...this.items].slice(0, ROWS_MAX));
    } else if (this.cursor === null && this.items.length < ROWS_MAX) {
      this.places.set(row.id, this.items.length);
      this.items = [...this.items, row];
    }
  }
}
