/** One answer of the API, kept up to date: read again when the feed tells of something that it depends on. */
import { Problem } from '../api/problem.js';
import type { Source } from './live.js';
import { Store } from './store.js';

const CHANGES_MS = 500;

interface Options<T> {
  read: () => Promise<T>;
  /** The types of the feed's events after which it is read again, once for many of them. */
  events?: readonly string[];
  /** Whether it changes every second now. */
  moving?: (value: T) => boolean;
}

export class Value<T> extends Store implements Source {
  value: T | undefined;
  problem: Problem | undefined;

  private reread: ReturnType<typeof setTimeout> | undefined;

  constructor(private readonly options: Options<T>) {
    super();
  }

  get moving(): boolean {
    return this.value !== undefined && (this.options.moving?.(this.value) ?? false);
  }

  async refresh(): Promise<void> {
    try {
      this.value = await this.options.read();
      this.problem = undefined;
    } catch (error) {
      if (error instanceof Problem) this.problem = error;
      throw error;
    } finally {
      this.changed();
    }
  }

  apply(type: string): void {
    if (!this.options.events?.includes(type)) return;
    this.reread ??= setTimeout(() => {
      this.reread = undefined;
      void this.refresh().catch(() => undefined);
    }, CHANGES_MS);
  }

  /** Takes a newer state, as the answer to a change gives it. */
  take(value: T): void {
    this.value = value;
    this.changed();
  }
}
