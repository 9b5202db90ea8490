/** Where everything stands on the live map. Pure: from who moves what to points and curves. */

/** One run that moves, or is about to. */
export interface Stream {
  runId: number;
  job: string;
  source: string;
  destination: string;
  /** Bytes per second. */
  rate: number;
  /** Where its bytes wait most. */
  slow?: Place | undefined;
}

/** A part of the picture. */
export type Place = 'source' | 'up' | 'hub' | 'down' | 'destination';

export interface Node {
  name: string;
  x: number;
  y: number;
}

export interface Curve {
  stream: Stream;
  /** SVG path data from the agent to the hub, or from the hub to the agent. */
  path: string;
  width: number;
  half: 'up' | 'down';
}

export interface Layout {
  height: number;
  sources: Node[];
  destinations: Node[];
  hub: Node;
  curves: Curve[];
}

export const WIDTH = 960;
const ROW = 64;
const MARGIN = 40;
const LEFT = 170;
const RIGHT = WIDTH - LEFT;
const HUB_HALF = 46;
const THIN = 1.5;
const THICK = 9;
/** A line of this rate has its full width. */
const FULL_RATE = 100e6;

export function layOut(streams: readonly Stream[]): Layout {
  const names = (pick: (stream: Stream) => string) => [...new Set(streams.map(pick))].sort();
  const left = names(stream => stream.source);
  const right = names(stream => stream.destination);
  const height = 2 * MARGIN + ROW * Math.max(left.length, right.length, 2);
  const column = (all: readonly string[], x: number): Node[] =>
    all.map((name, index) => ({ name, x, y: (height * (index + 0.5)) / all.length }));
  const sources = column(left, LEFT);
  const destinations = column(right, RIGHT);
  const hub = { name: '', x: WIDTH / 2, y: height / 2 };
  const curves = streams.flatMap((stream, index): Curve[] => {
    const from = sources.find(node => node.name === stream.source);
    const to = destinations.find(node => node.name === stream.destination);
    if (!from || !to) return [];
    // Each stream has a lane of its own through the hub.
    const lane = hub.y + (index - (streams.length - 1) / 2) * Math.min(14, (2 * HUB_HALF) / streams.length);
    const width = widthOf(stream.rate);
    return [
      { stream, width, half: 'up', path: curve(from.x, from.y, hub.x - HUB_HALF, lane) },
      { stream, width, half: 'down', path: curve(hub.x + HUB_HALF, lane, to.x, to.y) },
    ];
  });
  return { height, sources, destinations, hub, curves };
}

/** By its logarithm: a stream of 1 MB/s is to be seen beside one of 100. */
export function widthOf(rate: number): number {
  if (rate <= 0) return THIN;
  const share = Math.log10(1 + rate / 1e4) / Math.log10(1 + FULL_RATE / 1e4);
  return THIN + (THICK - THIN) * Math.min(1, share);
}

function curve(x1: number, y1: number, x2: number, y2: number): string {
  const middle = (x1 + x2) / 2;
  return `M${x1} ${y1.toFixed(1)} C${middle} ${y1.toFixed(1)} ${middle} ${y2.toFixed(1)} ${x2} ${y2.toFixed(1)}`;
}
