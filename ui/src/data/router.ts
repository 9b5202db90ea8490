/**
 * Which page is shown. The place stands behind the `#` of the address, which is never sent to the hub: it needs no route for a page,
 * answers 404 for every path that it does not know, and an address that is kept or passed on works after any update.
 */
import { Store } from './store.js';

export type Place =
  | { page: 'agents' }
  | { page: 'jobs' }
  | { page: 'runs'; filter: string }
  | { page: 'run'; id: number }
  | { page: 'nowhere' };

export const HOME = '#/jobs';

export function parsePlace(hash: string): Place {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  const parts = path.split('/').filter(Boolean);
  const id = /^[1-9]\d{0,15}$/.test(parts[1] ?? '') ? Number(parts[1]) : undefined;
  if (parts.length === 0) return { page: 'jobs' };
  if (parts.length === 1) {
    if (parts[0] === 'agents') return { page: 'agents' };
    if (parts[0] === 'jobs') return { page: 'jobs' };
    if (parts[0] === 'runs') return { page: 'runs', filter: new URLSearchParams(query).get('show') ?? 'all' };
  }
  if (parts.length === 2 && parts[0] === 'runs' && id !== undefined) return { page: 'run', id };
  return { page: 'nowhere' };
}

export const linkTo = {
  run: (id: number) => `#/runs/${id}`,
  runs: (filter?: string) => (filter === undefined || filter === 'all' ? '#/runs' : `#/runs?show=${filter}`),
};

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
