/** A job as people write it: the command that makes it, and the YAML that imports it. Only what differs from what a new job has. */
import type { Job } from '../api/types.js';

/** Fields that are the job's own, in the order in which people look for them. */
const FIELDS = [
  'description',
  'type',
  'include',
  'exclude',
  'recursive',
  'min_age',
  'symlinks',
  'schedule',
  'timezone',
  'catch_up',
  'overlap',
  'jitter_s',
  'expected_by',
  'conflict',
  'on_success',
  'archive_path',
  'delete_extra',
  'keep_versions',
  'compression',
  'chunk_size',
  'verify',
  'on_change',
  'preserve',
  'names',
  'hub_check',
  'parallel',
  'priority',
  'bandwidth_limit',
  'deadline',
  'retry',
  'watch',
  'tags',
  'enabled',
] as const satisfies readonly (keyof Job)[];

/** What a job has that nobody said anything about. */
const USUAL: Readonly<Record<(typeof FIELDS)[number], unknown>> = {
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
  chunk_size: 8 * 1024 * 1024,
  verify: 'chunks',
  on_change: 'retry',
  preserve: ['mtime', 'mode'],
  retry: { attempts: 5, delay: 10, factor: 2 },
  names: 'reject',
  hub_check: 'sample',
  parallel: 8,
  priority: 5,
  bandwidth_limit: null,
  deadline: 604_800,
  watch: null,
  tags: [],
  enabled: true,
};

type NameOf = (agentId: number) => string;

/** A file for `fileflux jobs import`. */
export function yamlOf(job: Job, nameOf: NameOf): string {
  const fields: [string, unknown][] = [
    ['name', job.name],
    ['source_agent', nameOf(job.source_agent_id)],
    ['source_path', job.source_path],
    ['destination_agent', nameOf(job.destination_agent_id)],
    ['destination_path', job.destination_path],
    ...own(job),
  ];
  // JSON is YAML: a value in it means the same in both.
  return fields
    .map(([name, value], index) => `${index === 0 ? '- ' : '  '}${name}: ${JSON.stringify(value)}\n`)
    .join('');
}

/** The command that makes it. */
export function commandOf(job: Job, nameOf: NameOf): string {
  const end = (agentId: number, path: string) => quoted(`${nameOf(agentId)}:${path}`);
  const head = `fileflux jobs create ${quoted(job.name)}`;
  const lines = [
    `${head} ${end(job.source_agent_id, job.source_path)} ${end(job.destination_agent_id, job.destination_path)}`,
    ...own(job).flatMap(([name, value]) => options(name, value)),
  ];
  return lines.join(' \\\n  ');
}

/** A text as one word of a shell. */
export function quoted(text: string): string {
  return /^[\w./:@%+=-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function own(job: Job): [string, unknown][] {
  return FIELDS.filter(name => JSON.stringify(job[name]) !== JSON.stringify(USUAL[name])).map(name => [
    name,
    job[name],
  ]);
}

/** Options whose name is not that of their field. */
const OPTIONS: Readonly<Record<string, string>> = { tags: 'tag', jitter_s: 'jitter' };

function options(name: string, value: unknown): string[] {
  if (name === 'enabled') return ['--disabled'];
  if (name === 'recursive') return ['--no-recursive'];
  if (name === 'delete_extra') return ['--delete-extra'];
  if (Array.isArray(value)) {
    const given = value.length === 0 && name === 'preserve' ? ['none'] : value;
    return given.map(one => option(name, one));
  }
  if (name === 'retry') {
    return Object.entries(value as object).map(([part, amount]) => option(`retry_${part}`, amount));
  }
  if (name === 'watch') {
    const { marker, poll, settle } = value as NonNullable<Job['watch']>;
    return [
      '--watch',
      option('watch_settle', settle),
      ...(marker ? [option('watch_marker', marker)] : []),
      ...(poll === null ? [] : [option('watch_poll', poll)]),
    ];
  }
  return [option(name, value)];
}

function option(name: string, value: unknown): string {
  return `--${(OPTIONS[name] ?? name).replaceAll('_', '-')} ${quoted(String(value))}`;
}
