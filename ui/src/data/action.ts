import type { ReactiveController, ReactiveControllerHost } from 'lit';

import { readable } from '../api/problem.js';

/** One thing at a time that a person asked for: whether it is on its way, whether it worked, and why it did not. */
export class Action implements ReactiveController {
  busy = false;
  /** The last one worked. */
  done = false;
  problem = '';

  constructor(private readonly host: ReactiveControllerHost) {
    host.addController(this);
  }

  hostDisconnected(): void {
    this.problem = '';
    this.done = false;
  }

  /** True when it worked. Does nothing while another is on its way. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.done = false;
    this.problem = '';
    this.host.requestUpdate();
    try {
      await work();
      this.done = true;
    } catch (error) {
      this.problem = readable(error);
    } finally {
      this.busy = false;
      this.host.requestUpdate();
    }
    return this.done;
  }
}
