import { describe, expect, it } from 'vitest';

import type { Job } from '../api/types.js';
import { commandOf, quoted, yamlOf } from './job_text.js';

const USUAL = {
  id: 7,
  name: 'nightly',
  source_agent_id: 1,
  source_path: '/srv/data',
  destination_agent_id: 2,
  destination_path: '/data/web 1',
  description: '',
  type: 'push',
  include: [],
  exclude: [],
  recursive: true,
  min_age: 0,
  symlinks: 'skip',
  schedule: null,
  timezone: 'UTC',
  catch_up: 'once',
  overlap: 'skip',
  jitter_s: 0,
  expected_by: null,
  conflict: 'overwrite',
  on_success: 'keep',
  archive_path: '',
  delete_extra: false,
  keep_versions: 0,
  compression: 'auto',
  chunk_size: 8_388_608,
  verify: 'chunks',
  on_change: 'retry',
  preserve: ['mtime', 'mode'],
  names: 'reject',
  hub_check: 'sample',
  parallel: 8,
  priority: 5,
  bandwidth_limit: null,
  deadline: 604_800,
  retry: { attempts: 5, delay: 10, factor: 2 },
  watch: null,
  tags: [],
  enabled: true,
} as unknown as Job;
const nameOf = (id: number) => (id === 1 ? 'web-1' : 'backup');

describe('a job as text', () => {
  it('says only what is not usual', () => {
    expect(commandOf(USUAL, nameOf)).toBe(
      "fileflux jobs create nightly web-1:/srv/data 'backup:/data/web 1'",
    );
    expect(yamlOf(USUAL, nameOf)).toBe(
      '- name: "nightly"\n  source_agent: "web-1"\n  source_path: "/srv/data"\n  destination_agent: "backup"\n  destination_path: "/data/web 1"\n',
    );
  });

  it('says everything else', () => {
    const job: Job = {
      ...USUAL,
      include: ['*.gz', 'a b'],
      schedule: '30 2 * * *',
      recursive: false,
      delete_extra: true,
      preserve: [],
      enabled: false,
      tags: ['x'],
      jitter_s: 60,
      watch: { settle: 5, marker: '.done', poll: null },
    };
    expect(commandOf(job, nameOf).split(' \\\n  ').slice(1)).toEqual([
      "--include '*.gz'",
      "--include 'a b'",
      '--no-recursive',
      "--schedule '30 2 * * *'",
      '--jitter 60',
      '--delete-extra',
      '--preserve none',
      '--watch',
      '--watch-settle 5',
      '--watch-marker .done',
      '--tag x',
      '--disabled',
    ]);
    expect(yamlOf(job, nameOf)).toContain('  watch: {"settle":5,"marker":".done","poll":null}\n');
  });

  it('quotes for a shell', () => {
    expect(quoted("it's")).toBe(`'it'\\''s'`);
    expect(quoted('$(rm -rf /)')).toBe(`'$(rm -rf /)'`);
    expect(quoted('')).toBe(`''`);
  });
});
