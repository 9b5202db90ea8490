import { expect, it } from 'vitest';

import type { Job } from '../api/types.js';
import { bodyOfMore, moreOf } from './job_fields.js';

const job = {
  symlinks: 'follow',
  names: 'encode',
  on_change: 'prefix',
  preserve: ['mode'],
  delete_extra: true,
  keep_versions: 3,
  chunk_size: 4 * 1024 * 1024,
  parallel: 2,
  priority: 9,
  hub_check: 'all',
  retry: { attempts: 7, delay: 1.5, factor: 3 },
  overlap: 'queue',
  catch_up: 'skip',
  jitter_s: 30,
  expected_by: '06:00',
  deadline: 5400,
  watch: { settle: 2, marker: '.done', poll: 60 },
} as unknown as Job;

function formOf(fields: ReturnType<typeof moreOf>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) {
    if (value === true) form.set(name, 'on');
    else if (value !== false) form.set(name, value);
  }
  return form;
}

it('gives back what it was given', () => {
  // The attempts are another part of the form's.
  expect({ ...bodyOfMore(formOf(moreOf(job)), job), retry: job.retry }).toEqual(job);
});

it('is what the hub would take if nothing was said', () => {
  expect(bodyOfMore(formOf(moreOf(undefined)), undefined)).toEqual({
    symlinks: 'skip',
    names: 'reject',
    on_change: 'retry',
    preserve: ['mtime', 'mode'],
    delete_extra: false,
    keep_versions: 0,
    chunk_size: 8 * 1024 * 1024,
    parallel: 8,
    priority: 5,
    hub_check: 'sample',
    overlap: 'skip',
    catch_up: 'once',
    jitter_s: 0,
    expected_by: null,
    deadline: 7 * 24 * 3600,
    watch: null,
  });
});

it('watches with the defaults of the hub when only that was asked for', () => {
  const form = formOf(moreOf(undefined));
  form.set('watch', 'on');
  expect(bodyOfMore(form, undefined).watch).toEqual({ marker: '' });
});
