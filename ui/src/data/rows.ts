/** A list of the API, page by page, kept up to date in place. */
import { Problem } from '../api/problem.js';
import type { Page } from '../api/types.js';
import type { Source } from './live.js';
import { Store } from './store.js';

export const PAGE = 100;
/** The most that a page of the API holds. */
const PAGE_MAX = 200;
/** So many rows are read again every 2 s at worst; who wants to see more filters. */
const ROWS_MAX = 1000;

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
      do {
        const page: Page<Row> = await this.options.read(
          Math.min(this.wanted - rows.length, PAGE_MAX),
          cursor,
        );
        rows.push(...page.items);
        cursor = page.next_cursor;
      } while (cursor !== null && rows.length < this.wanted);
      this.cursor = cursor;
      this.items = rows;
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

  async showMore(): Promise<void> {
    this.wanted = Math.min(this.items.length + PAGE, ROWS_MAX);
    await this.refresh().catch(() => undefined);
  }

  apply(type: string, data: unknown): void {
    if (type !== this.options.event) return;
    const row = data as Row;
    if (this.reading) this.told.set(row.id, row);
    this.put(row);
    this.changed();
  }

  private put(row: Row): void {
    const place = this.items.findIndex(shown => shown.id === row.id);
    const belongs = this.options.belongs?.(row) ?? true;
    if (place >= 0) {
      this.items = belongs
        ? this.items.with(place, row)
        : [...this.items.slice(0, place), ...this.items.slice(place + 1)];
    } else if (belongs && this.loaded) {
      this.insert(row);
    }
  }

  private insert(row: Row): void {
    if (this.options.newest === 'first') {
      // An old row that moves again is not at the top: the next reading puts it where it belongs.
      const first = this.items[0];
      if (first === undefined || row.id > first.id) this.items = [row, ...this.items].slice(0, ROWS_MAX);
    } else if (this.cursor === null && this.items.length < ROWS_MAX) {
      this.items = [...this.items, row];
    }
  }
}
