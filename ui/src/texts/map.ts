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
  slow: {
    source_disk: 'the disk of the source',
    source_cpu: 'the processors of the source',
    uplink: 'the way from the source to the hub',
    hub: 'the hub',
    downlink: 'the way from the hub to the destination',
    destination_disk: 'the disk of the destination',
    limit: 'a bandwidth limit',
  },
  slowest: (what: string) => `waits most for ${what}`,
};
