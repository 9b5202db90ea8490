/**
 * Which page is shown. The place stands behind the `#` of the address, which is never sent to the hub: it needs no route for a page,
 * answers 404 for every path that it does not know, and an address that is kept or passed on works after any update.
 */
import { Store } from './store.js';

const PAGES = [
  'dashboard',
  'map',
  'jobs',
  'runs',
  'transfers',
  'agents',
  'schedules',
  'audit',
  'users',
  'notifications',
  'settings',
  'profile',
] as const;
/** Below these stands one of their rows, by its id. */
const WITH_ROWS = { jobs: 'job', runs: 'run', agents: 'agent' } as const;

export type ListPage = (typeof PAGES)[number];
export type RowPage = (typeof WITH_ROWS)[keyof typeof WITH_ROWS];

export type Place =
  | { page: ListPage; query: URLSearchParams }
  | { page: RowPage; id: number }
  /** Without an id a new one; `from` is the job that it is to be like. */
  | { page: 'edit'; id: number | undefined; from: number | undefined }
  | { page: 'nowhere' };

export const HOME = '#/';

export function parsePlace(hash: string): Place {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?');
  const query = new URLSearchParams(search);
  const [first = 'dashboard', second, third, ...rest] = path.split('/').filter(Boolean);
  const page = PAGES.find(one => one === first);
  if (page === undefined || rest.length > 0) return { page: 'nowhere' };
  if (second === undefined) return { page, query };
  if (page === 'jobs' && second === 'new' && third === undefined) {
    return { page: 'edit', id: undefined, from: idOf(query.get('like') ?? '') };
  }
  const id = idOf(second);
  if (id === undefined || !(page in WITH_ROWS)) return { page: 'nowhere' };
  if (third === undefined) return { page: WITH_ROWS[page as keyof typeof WITH_ROWS], id };
  return page === 'jobs' && third === 'edit' ? { page: 'edit', id, from: undefined } : { page: 'nowhere' };
}

function idOf(text: string): number | undefined {
  return /^[1-9]\d{0,15}$/.test(text) ? Number(text) : undefined;
}

export const linkTo = {
  page: (page: ListPage) => (page === 'dashboard' ? HOME : `#/${page}`),
  job: (id: number) => `#/jobs/${id}`,
  editJob: (id: number) => `#/jobs/${id}/edit`,
  newJob: '#/jobs/new',
  jobLike: (id: number) => `#/jobs/new?like=${id}`,
  run: (id: number) => `#/runs/${id}`,
  agent: (id: number) => `#/agents/${id}`,
  transfers: (filter: string) => (filter === 'all' ? '#/transfers' : `#/transfers?show=${filter}`),
  runs: (filter?: string) => (filter === undefined || filter === 'all' ? '#/runs' : `#/runs?show=${filter}`),
};

/** Where an object stands that is named as in `job:7`; undefined for what has no page. */
export function linkToObject(object: string): string | undefined {
  const [kind, id] = object.split(':');
  const number = Number(id);
  if (!Number.isInteger(number) || number <= 0) return undefined;
  switch (kind) {
    case 'job':
      return linkTo.job(number);
    case 'run':
      return linkTo.run(number);
    case 'agent':
      return linkTo.agent(number);
    default:
      return undefined;
  }
}

export class Router extends Store {
  place: Place = parsePlace(location.hash);

  constructor() {
    super();
    addEventListener('hashchange', () => {
      this.place = parsePlace(location.hash);
      this.changed();
    });
  }
}
