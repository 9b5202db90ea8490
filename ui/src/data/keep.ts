import type { ReactiveController, ReactiveControllerHost } from 'lit';

import type { Live, Source } from './live.js';
import type { Store } from './store.js';

/** Keeps the sources of a page up to date while the page is shown, and renders it when they change. */
export class Keep implements ReactiveController {
  private stops: (() => void)[] = [];

  constructor(private readonly host: ReactiveControllerHost) {
    host.addController(this);
  }

  /** From here on these, and no others. */
  set(live: Live, sources: readonly (Source & Store)[]): void {
    this.hostDisconnected();
    for (const source of sources) {
      this.stops.push(
        source.subscribe(() => {
          this.host.requestUpdate();
        }),
        live.add(source),
      );
    }
  }

  hostDisconnected(): void {
    for (const stop of this.stops) stop();
    this.stops = [];
  }
}
