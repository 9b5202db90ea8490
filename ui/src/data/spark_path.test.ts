import { expect, it } from 'vitest';

import { pathOf } from './spark_path.js';

it('goes from edge to edge, the largest value at the top', () => {
  expect(pathOf([0, 10, 5], 100, 20)).toBe('M0.0 19.0L50.0 1.0L100.0 10.0');
  expect(pathOf([0, 0], 100, 20)).toBe('M0.0 19.0L100.0 19.0');
  expect(pathOf([1], 100, 20)).toBe('');
});
