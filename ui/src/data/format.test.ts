import { describe, expect, it } from 'vitest';

import { ago, bytes, duration, percent, rate } from './format.js';
import { Rate } from './rate.js';

describe('numbers', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1024, '1.00 KiB'],
    [1536, '1.50 KiB'],
    [1024 ** 2 - 1, '1023 KiB'],
    [10 * 1024 ** 2, '10.0 MiB'],
    [123.9 * 1024 ** 3, '123 GiB'],
    [2 ** 63, '8.00 EiB'],
  ])('%d bytes are %s', (count, text) => {
    expect(bytes(count)).toBe(text);
  });

  it.each([
    [0, '0.0 %'],
    [99.99, '99.9 %'],
    [100, '100 %'],
  ])('%d percent are %s', (value, text) => {
    expect(percent(value)).toBe(text);
  });

  it.each([
    [0.27, '0.2 s'],
    [59.9, '59 s'],
    [61, '1 min 1 s'],
    [7260, '2 h 1 min'],
    [90_000, '1 d 1 h'],
    [-1, '–'],
    [NaN, '–'],
    [Infinity, '–'],
  ])('%d seconds are %s', (seconds, text) => {
    expect(duration(seconds)).toBe(text);
  });

  it('says how long ago', () => {
    expect([1, 59, 61, 7200, 200_000].map(seconds => ago(seconds, 'just now'))).toEqual([
      'just now',
      '59 s ago',
      '1 min ago',
      '2 h ago',
      '2 d ago',
    ]);
  });
});

describe('Rate', () => {
  it('is unknown at first, and of the last ten seconds then', () => {
    const measured = new Rate();
    measured.add(0, 0);
    expect(measured.perSecond).toBeUndefined();
    expect(rate(measured.perSecond)).toBe('–');
    for (let second = 1; second <= 10; second += 1) measured.add(second * 1000, second * 1000);
    expect(measured.perSecond).toBe(1000);
    for (let second = 11; second <= 25; second += 1) measured.add(second * 1000, 10_000);
    expect(measured.perSecond).toBe(0);
  });

  it('begins anew when the counter does, and not for one old answer', () => {
    const measured = new Rate();
    measured.add(0, 5000);
    measured.add(1000, 6000);
    measured.add(1500, 5500);
    expect(measured.perSecond).toBe(1000);
    measured.add(5000, 100);
    measured.add(7000, 2100);
    expect(measured.perSecond).toBe(1000);
  });
});
