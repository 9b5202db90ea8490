import { describe, expect, it } from 'vitest';

import { parsePlace } from './router.js';

describe('parsePlace', () => {
  it.each([
    ['', 'dashboard'],
    ['#/', 'dashboard'],
    ['#/jobs', 'jobs'],
    ['#/runs?show=failed', 'runs'],
    ['#/audit', 'audit'],
    ['#/jobs/7', 'job'],
    ['#/runs/7', 'run'],
    ['#/agents/7', 'agent'],
    ['#/jobs/7/edit', 'edit'],
    ['#/jobs/new', 'edit'],
    ['#/jobs/0', 'nowhere'],
    ['#/jobs/7/nothing', 'nowhere'],
    ['#/runs/7/edit', 'nowhere'],
    ['#/audit/7', 'nowhere'],
    ['#/jobs/7/edit/more', 'nowhere'],
    ['#/constructor', 'nowhere'],
    ['#/runs/99999999999999999', 'nowhere'],
  ])('%s', (hash, page) => {
    expect(parsePlace(hash).page).toBe(page);
  });

  it('keeps what the address says', () => {
    expect(parsePlace('#/runs/12')).toEqual({ page: 'run', id: 12 });
    expect(parsePlace('#/jobs/12/edit')).toEqual({ page: 'edit', id: 12, from: undefined });
    expect(parsePlace('#/jobs/new?like=3')).toEqual({ page: 'edit', id: undefined, from: 3 });
    const place = parsePlace('#/runs?show=failed');
    expect('query' in place && place.query.get('show')).toBe('failed');
  });
});
