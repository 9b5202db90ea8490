/** Rows that a person has marked. Only rows that are shown count: what is filtered away is not acted on. */
export class Chosen {
  private readonly ids = new Set<number>();

  constructor(private readonly changed: () => void) {}

  has(id: number): boolean {
    return this.ids.has(id);
  }

  /** Those of `shown` that are marked, in their order. */
  of<Row extends { id: number }>(shown: readonly Row[]): Row[] {
    return shown.filter(row => this.ids.has(row.id));
  }

  set(id: number, marked: boolean): void {
    if (marked) this.ids.add(id);
    else this.ids.delete(id);
    this.changed();
  }

  /** All of `shown`, or none of them if all are marked already. */
  toggleAll(shown: readonly { id: number }[]): void {
    const all = shown.length > 0 && shown.every(row => this.ids.has(row.id));
    for (const { id } of shown) {
      if (all) this.ids.delete(id);
      else this.ids.add(id);
    }
    this.changed();
  }

  clear(): void {
    this.ids.clear();
    this.changed();
  }
}

/** What became of the same thing done to several rows, one after the other. */
export interface Outcome {
  failed: number;
  /** Why the first one failed. */
  why: string;
}

/** Every row is tried, whatever becomes of the others. */
export async function forEachRow<Row>(
  rows: readonly Row[],
  work: (row: Row) => Promise<unknown>,
  readable: (error: unknown) => string,
): Promise<Outcome> {
  const outcome: Outcome = { failed: 0, why: '' };
  for (const row of rows) {
    try {
      await work(row);
    } catch (error) {
      outcome.failed += 1;
      outcome.why ||= readable(error);
    }
  }
  return outcome;
}
