import { describe, expect, it, vi } from 'vitest';

import { Chosen, forEachRow } from './chosen.js';

const rows = [{ id: 1 }, { id: 2 }, { id: 3 }];

describe('Chosen', () => {
  it('gives only what is shown, in its order', () => {
    const chosen = new Chosen(() => undefined);
    chosen.set(3, true);
    chosen.set(1, true);
    expect(chosen.of(rows)).toEqual([{ id: 1 }, { id: 3 }]);
    expect(chosen.of([{ id: 2 }, { id: 3 }])).toEqual([{ id: 3 }]);
  });

  it('marks all that are shown, and none of them when all were', () => {
    const changed = vi.fn();
    const chosen = new Chosen(changed);
    chosen.set(9, true);
    chosen.toggleAll(rows);
    expect(chosen.of(rows)).toHaveLength(3);
    chosen.toggleAll(rows);
    expect(chosen.of(rows)).toHaveLength(0);
    expect(chosen.has(9)).toBe(true);
    expect(changed).toHaveBeenCalledTimes(3);
  });
});

describe('forEachRow', () => {
  it('goes on after one that failed and says why', async () => {
    const done: number[] = [];
    const outcome = await forEachRow(
      rows,
      ({ id }) => {
        if (id < 3) return Promise.reject(new Error(`no ${id}`));
        done.push(id);
        return Promise.resolve();
      },
      error => (error as Error).message,
    );
    expect(done).toEqual([3]);
    expect(outcome).toEqual({ failed: 2, why: 'no 1' });
  });
});
