import { describe, expect, it } from 'vitest';

import { WIDTH, layOut, widthOf, type Stream } from './map_layout.js';

const stream = (runId: number, source: string, destination: string, rate = 1e6): Stream => ({
  runId,
  job: `job ${runId}`,
  source,
  destination,
  rate,
});

describe('layOut', () => {
  it('has each agent once on each side, inside the picture', () => {
    const found = layOut([stream(1, 'a', 'c'), stream(2, 'b', 'c'), stream(3, 'a', 'b')]);
    expect(found.sources.map(node => node.name)).toEqual(['a', 'b']);
    expect(found.destinations.map(node => node.name)).toEqual(['b', 'c']);
    for (const node of [...found.sources, ...found.destinations]) {
      expect(node.y).toBeGreaterThan(0);
      expect(node.y).toBeLessThan(found.height);
    }
    expect(found.curves).toHaveLength(6);
    expect(found.hub.x).toBe(WIDTH / 2);
  });

  it('is there when nothing moves', () => {
    expect(layOut([])).toMatchObject({ sources: [], destinations: [], curves: [] });
  });

  it('draws two streams between the same agents apart', () => {
    const { curves } = layOut([stream(1, 'a', 'b'), stream(2, 'a', 'b')]);
    expect(new Set(curves.map(curve => curve.path)).size).toBe(4);
  });
});

it('makes faster streams thicker, up to a bound', () => {
  const widths = [0, 1e4, 1e6, 1e8, 1e12].map(widthOf);
  expect(widths).toEqual([...widths].sort((one, other) => one - other));
  expect(widths[0]).toBe(1.5);
  expect(widths[3]).toBe(widths[4]);
});
