import type { ReactiveController, ReactiveControllerHost } from 'lit';

import { readable } from '../api/problem.js';

/** One thing at a time that a person asked for: whether it is on its way, and why it did not work. */
export class Action implements ReactiveController {
  busy = false;
  problem = '';

  constructor(private readonly host: ReactiveControllerHost) {
    host.addController(this);
  }

  hostDisconnected(): void {
    this.problem = '';
  }

  /** True when it worked. Does nothing while another is on its way. */
  async run(work: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = true;
    this.problem = '';
    this.host.requestUpdate();
    try {
      await work();
      return true;
    } catch (error) {
      this.problem = readable(error);
      return false;
    } finally {
      this.busy = false;
      this.host.requestUpdate();
    }
  }
}
