/** The text of a stream of server-sent events, cut into events. It is fed with what arrives, however that is cut. */

export interface FeedEvent {
  id: string;
  type: string;
  data: string;
}

/** More than this without an end of event is no feed of ours: a run or a transfer takes a few KiB. */
export const EVENT_MAX = 1 << 20;

export class EventParser {
  private rest = '';
  private id = '';
  private type = '';
  private data: string[] = [];
  private size = 0;

  /** Every event that `text` completes. Throws RangeError when an event becomes too large; start anew then. */
  push(text: string): FeedEvent[] {
    const found: FeedEvent[] = [];
    const lines = (this.rest + text).split(/\r\n|\n|\r(?!$)/);
    this.rest = lines.pop() ?? '';
    for (const line of lines) {
      const event = this.line(line);
      if (event) found.push(event);
    }
    if (this.size + this.rest.length > EVENT_MAX) throw new RangeError('the event is too large');
    return found;
  }

  private line(line: string): FeedEvent | undefined {
    if (line === '') return this.finish();
    const colon = line.indexOf(':');
    if (colon === 0) return undefined;
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    this.size += value.length;
    if (name === 'id') this.id = value;
    else if (name === 'event') this.type = value;
    else if (name === 'data') this.data.push(value);
    return undefined;
  }

  private finish(): FeedEvent | undefined {
    const event = { id: this.id, type: this.type || 'message', data: this.data.join('\n') };
    const isEmpty = this.data.length === 0;
    this.type = '';
    this.data = [];
    this.size = 0;
    return isEmpty ? undefined : event;
  }
}
