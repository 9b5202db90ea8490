import type { ReactiveController, ReactiveControllerHost } from 'lit';

/** Something that changes and tells so. However often it changes, listeners are called at most once a frame. */
export class Store {
  private readonly listeners = new Set<() => void>();
  private due = false;

  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  protected changed(): void {
    if (this.due) return;
    this.due = true;
    const tell = () => {
      this.due = false;
      for (const listener of [...this.listeners]) listener();
    };
    // A page that nobody looks at has no frames.
    if (document.visibilityState === 'visible') requestAnimationFrame(tell);
    else setTimeout(tell, 200);
  }
}

/** Renders an element again when a store changes, for as long as the element is on the page. */
export class Watch implements ReactiveController {
  private stop: (() => void) | undefined;

  constructor(
    private readonly host: ReactiveControllerHost,
    private readonly store: Store,
  ) {
    host.addController(this);
  }

  hostConnected(): void {
    this.stop = this.store.subscribe(() => {
      this.host.requestUpdate();
    });
  }

  hostDisconnected(): void {
    this.stop?.();
  }
}
