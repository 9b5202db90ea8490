import { describe, expect, it } from 'vitest';

import { spanOf } from './virtual.js';

describe('spanOf', () => {
  it('shows a short list whole', () => {
    expect(spanOf(100, 40, 0, 800)).toEqual({ first: 0, last: 100, before: 0, after: 0 });
  });

  it('shows what is in sight and a little around it', () => {
    const span = spanOf(10_000, 40, 200_000, 800);
    expect(span.first).toBeLessThan(5_000);
    expect(span.last).toBeGreaterThan(5_020);
    expect(span.last - span.first).toBeLessThan(100);
  });

  it.each([-500, 0, 1, 39, 40, 199_999, 399_200, 1e9])('is as high as all of it at %i', top => {
    const { first, last, before, after } = spanOf(10_000, 40, top, 800);
    expect(before + after + (last - first) * 40).toBe(10_000 * 40);
    expect(first).toBeGreaterThanOrEqual(0);
    expect(last).toBeLessThanOrEqual(10_000);
    expect(last).toBeGreaterThan(first);
  });
});
