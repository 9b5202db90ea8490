import { expect, it } from 'vitest';

import { rootsOf } from './roots.js';

it('reads what an agent said, and nothing into what it did not say', () => {
  const root = { path: '/data', read: true, write: false, total: 100, free: 40 };
  expect(rootsOf({ roots: [root] })).toEqual([root]);
  expect(rootsOf({ roots: [{ path: '/x', total: 'much', free: -1 }, { read: true }, null] })).toEqual([
    { path: '/x', read: false, write: false, total: 0, free: 0 },
  ]);
  for (const nothing of [null, undefined, 'x', {}, { roots: 3 }]) expect(rootsOf(nothing)).toEqual([]);
});
