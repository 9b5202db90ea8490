import { html, render } from 'lit';
import { afterEach, describe, expect, it } from 'vitest';
import { page } from 'vitest/browser';

import type { TimetableEntry } from '../../api/types.js';
import './timetable.js';
import type { FfTimetable } from './timetable.js';

const NIGHT: TimetableEntry = {
  days: ['sat', 'sun'],
  from: '22:00',
  to: '06:00',
  limit: 1024 * 1024,
  timezone: 'UTC',
};
const DAY: TimetableEntry = { days: ['mon'], from: '08:00', to: '24:00', limit: 0, timezone: 'Asia/Tokyo' };

async function show(entries: readonly TimetableEntry[]): Promise<FfTimetable> {
  render(html`<ff-timetable .entries=${entries}></ff-timetable>`, document.body);
  const element = document.body.querySelector('ff-timetable');
  if (!element) throw new Error('no ff-timetable');
  await element.updateComplete;
  return element;
}

afterEach(() => {
  render(html``, document.body);
});

describe('ff-timetable', () => {
  it('gives back what it got', async () => {
    const table = await show([NIGHT, DAY]);
    expect(table.value).toEqual([NIGHT, DAY]);
    await expect.element(page.getByLabelText('MiB per second').nth(0)).toHaveValue(1);
  });

  it('keeps what was typed into one entry when another is added or goes', async () => {
    const table = await show([NIGHT, DAY]);
    await page.getByLabelText('From').nth(1).fill('09:15');
    await page.getByRole('button', { name: 'Remove entry 1' }).click();
    expect(table.value).toEqual([{ ...DAY, from: '09:15' }]);
    await page.getByRole('button', { name: 'Add hours' }).click();
    const [first, second] = table.value ?? [];
    expect(first).toEqual({ ...DAY, from: '09:15' });
    expect(second?.timezone).toBe('Asia/Tokyo');
    table.reset();
    await table.updateComplete;
    expect(table.value).toEqual([NIGHT, DAY]);
  });

  it('leaves alone what is being typed when the same entries come again', async () => {
    await show([NIGHT]);
    await page.getByLabelText('From').fill('21:45');
    const table = await show([{ ...NIGHT }]);
    expect(table.value).toEqual([{ ...NIGHT, from: '21:45' }]);
    await show([DAY]);
    expect(table.value).toEqual([DAY]);
  });

  it.each([
    ['From', '8'],
    ['From', '24:00'],
    ['To', '25:00'],
    ['MiB per second', '-1'],
    ['Time zone', ''],
  ])('points at a wrong %s: %s', async (label, text) => {
    const table = await show([NIGHT]);
    await page.getByLabelText(label).fill(text);
    expect(table.value).toBeNull();
  });

  it('wants a day', async () => {
    const table = await show([DAY]);
    await page.getByLabelText('Mon').click();
    expect(table.value).toBeNull();
    await page.getByLabelText('Wed').click();
    expect(table.value).toEqual([{ ...DAY, days: ['wed'] }]);
  });
});
