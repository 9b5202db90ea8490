/** The less common fields of a job in a form: how they are written there, and what the API is told. */
import type { Job } from '../api/types.js';
import { MIB } from './format.js';
import { textOf } from './form.js';

const HOUR_S = 3600;

/** What a form says of them, by the names of its controls. */
export function moreOf(job: Job | undefined) {
  return {
    symlinks: job?.symlinks ?? 'skip',
    names: job?.names ?? 'reject',
    on_change: job?.on_change ?? 'retry',
    mtime: job?.preserve.includes('mtime') ?? true,
    mode: job?.preserve.includes('mode') ?? true,
    delete_extra: job?.delete_extra ?? false,
    keep_versions: String(job?.keep_versions ?? 0),
    chunk_size: String((job?.chunk_size ?? 8 * MIB) / MIB),
    parallel: String(job?.parallel ?? 8),
    priority: String(job?.priority ?? 5),
    hub_check: job?.hub_check ?? 'sample',
    retry_delay: String(job?.retry.delay ?? 10),
    overlap: job?.overlap ?? 'skip',
    catch_up: job?.catch_up ?? 'once',
    jitter_s: String(job?.jitter_s ?? 0),
    expected_by: job?.expected_by ?? '',
    deadline: String((job?.deadline ?? 7 * 24 * HOUR_S) / HOUR_S),
    watch: Boolean(job?.watch),
    watch_settle: String(job?.watch?.settle ?? ''),
    watch_marker: job?.watch?.marker ?? '',
  };
}

/** The same as the API takes it. What the form does not show of `watch` stays as it is. */
export function bodyOfMore(form: FormData, job: Job | undefined): Record<string, unknown> {
  const text = (name: string) => textOf(form, name);
  const number = (name: string) => Number(text(name));
  const settle = text('watch_settle');
  return {
    symlinks: text('symlinks'),
    names: text('names'),
    on_change: text('on_change'),
    preserve: ['mtime', 'mode'].filter(name => form.has(name)),
    delete_extra: form.has('delete_extra'),
    keep_versions: number('keep_versions'),
    chunk_size: Math.round(number('chunk_size') * MIB),
    parallel: number('parallel'),
    priority: number('priority'),
    hub_check: text('hub_check'),
    overlap: text('overlap'),
    catch_up: text('catch_up'),
    jitter_s: number('jitter_s'),
    expected_by: text('expected_by') || null,
    deadline: Math.round(number('deadline') * HOUR_S),
    watch: form.has('watch')
      ? { ...job?.watch, ...(settle && { settle: Number(settle) }), marker: text('watch_marker') }
      : null,
  };
}
