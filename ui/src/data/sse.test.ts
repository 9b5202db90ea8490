import { describe, expect, it } from 'vitest';

import { EVENT_MAX, EventParser, type FeedEvent } from './sse.js';

const STREAM =
  ': hello\n\nid: 7\nevent: run\ndata: {"id":1}\n\nid: 8\r\nevent: reset\r\ndata: {"reason":\r\ndata: "too old"}\r\n\r\nretry: 5\n\ndata:x\n\n';
const EVENTS: FeedEvent[] = [
  { id: '7', type: 'run', data: '{"id":1}' },
  { id: '8', type: 'reset', data: '{"reason":\n"too old"}' },
  { id: '8', type: 'message', data: 'x' },
];

describe('EventParser', () => {
  it('finds the same events wherever the stream is cut', () => {
    for (let cut = 0; cut <= STREAM.length; cut += 1) {
      const parser = new EventParser();
      expect([...parser.push(STREAM.slice(0, cut)), ...parser.push(STREAM.slice(cut))]).toEqual(EVENTS);
    }
    const parser = new EventParser();
    expect(STREAM.match(/[^]/g)?.flatMap(character => parser.push(character))).toEqual(EVENTS);
  });

  it('tells nothing before the empty line', () => {
    expect(new EventParser().push('id: 1\nevent: run\ndata: {}\n')).toEqual([]);
  });

  it('is bounded', () => {
    const parser = new EventParser();
    expect(() => {
      for (let size = 0; size <= EVENT_MAX; size += 65_536) parser.push('x'.repeat(65_536));
    }).toThrow(RangeError);
    const lines = new EventParser();
    expect(() => {
      for (let size = 0; size <= EVENT_MAX; size += 65_536) lines.push(`data: ${'x'.repeat(65_536)}\n`);
    }).toThrow(RangeError);
  });
});
