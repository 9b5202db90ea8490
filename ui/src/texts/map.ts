import { plural } from './plural.js';

export const map = {
  title: 'Live map',
  count: (runs: number, rate: string) =>
    runs ? `${plural(runs, 'run', 'runs')}, ${rate} together` : 'nothing moves',
  hub: 'Hub',
  nothing: 'Nothing moves at the moment',
  nothingWhy:
    'Every run is drawn here while it lasts: from its source, through this hub, to its destination.',
  job: 'Job',
  way: 'From, to',
  state: 'Status',
  rate: 'Rate',
};
