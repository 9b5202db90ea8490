import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import type { Run } from '../api/types.js';
import { Throughput } from './throughput.js';

const run = (id: number, bytes: number, status: Run['status'] = 'transferring') =>
  ({ id, bytes_done: bytes, status }) as Run;

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('Throughput', () => {
  it('adds up what all runs move, and forgets those that ended or went silent', () => {
    const all = new Throughput();
    all.start();
    for (let second = 0; second <= 3; second += 1) {
      all.apply('run', run(1, second * 1000));
      all.apply('run', run(2, second * 500));
      vi.advanceTimersByTime(1000);
    }
    expect(all.of(1)).toBeCloseTo(1000);
    expect(all.now).toBeCloseTo(1500);
    expect(all.values.at(-1)).toBeCloseTo(1500);
    expect(all.past(1).at(-1)).toBeCloseTo(1000);
    expect(all.past(3)).toEqual([]);
    all.apply('run', run(1, 4000, 'succeeded'));
    expect(all.of(1)).toBeUndefined();
    expect(all.now).toBeCloseTo(500);
    vi.advanceTimersByTime(5000);
    expect(all.now).toBe(0);
    all.stop();
  });

  it('is not stopped by an answer that is older than what the feed told', () => {
    const all = new Throughput();
    for (let second = 0; second <= 3; second += 1) {
      all.take(run(1, second * 1000));
      vi.advanceTimersByTime(1000);
    }
    all.take(run(1, 2500));
    expect(all.of(1)).toBeCloseTo(1000);
    vi.advanceTimersByTime(3000);
    all.take(run(1, 0));
    expect(all.of(1)).toBeUndefined();
  });

  it('keeps five minutes', () => {
    const all = new Throughput();
    all.start();
    vi.advanceTimersByTime(400_000);
    expect(all.times).toHaveLength(300);
    expect(all.values).toHaveLength(300);
    all.stop();
  });
});
