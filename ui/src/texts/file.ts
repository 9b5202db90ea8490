export const file = {
  size: 'Size',
  wire: 'On the wire',
  reused: 'Reused',
  compression: 'Compression',
  chunks: 'Chunks',
  chunksOf: (done: number, total: number, size: string) =>
    `${done.toLocaleString('en')} of ${total.toLocaleString('en')}, ${size} each`,
  started: 'Started',
  took: 'Took',
  retries: 'Retries',
  code: 'Code',
  cancel: 'Cancel this file',
  again: 'Try this file again',
  open: (name: string) => `What became of ${name}`,
  chunk: (index: number, offset: string, state: string) => `chunk ${index}, from ${offset}: ${state}`,
  mapSays: (done: number, all: number) => `${done} of ${all} chunks are at the destination`,
  mapCut: (shown: number, all: number) =>
    `the first ${shown.toLocaleString('en')} of ${all.toLocaleString('en')}`,
  states: {
    missing: 'not sent',
    in_flight: 'on its way',
    acked: 'on the disk',
    done: 'verified',
  },
};
