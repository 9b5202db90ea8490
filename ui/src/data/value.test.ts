import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { Problem } from '../api/problem.js';
import { Value } from './value.js';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

describe('Value', () => {
  it('keeps what it had when it cannot be read again', async () => {
    const read = vi.fn<() => Promise<number>>().mockResolvedValueOnce(1);
    const value = new Value({ read });
    await value.refresh();
    read.mockRejectedValueOnce(new Problem('away', 503, 'unavailable'));
    await expect(value.refresh()).rejects.toThrow('away');
    expect([value.value, value.problem?.status]).toEqual([1, 503]);
    read.mockResolvedValueOnce(2);
    await value.refresh();
    expect([value.value, value.problem]).toEqual([2, undefined]);
  });

  it('is read again once for many events, and for no others', async () => {
    const read = vi.fn().mockResolvedValue(1);
    const value = new Value({ read, events: ['job'] });
    for (let count = 0; count < 50; count += 1) value.apply('job');
    value.apply('run');
    await vi.runAllTimersAsync();
    expect(read).toHaveBeenCalledTimes(1);
    value.apply('job');
    await vi.runAllTimersAsync();
    expect(read).toHaveBeenCalledTimes(2);
  });

  it('says itself whether it moves', async () => {
    const value = new Value({ read: () => Promise.resolve(3), moving: count => count > 2 });
    expect(value.moving).toBe(false);
    await value.refresh();
    expect(value.moving).toBe(true);
    value.take(1);
    expect(value.moving).toBe(false);
  });
});
