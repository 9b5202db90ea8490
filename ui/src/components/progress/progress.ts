import { LitElement, css, html } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';

import { percent } from '../../data/format.js';
import type { Tone } from '../status/status.js';

/**
 * A bar from 0 to 100. What it shows is also said in words for who cannot see it.
 *
 * @cssproperty --bar-height
 */
@customElement('ff-progress')
export class FfProgress extends LitElement {
  static override styles = css`
    :host {
      display: block;
    }
    .track {
      height: var(--bar-height, 6px);
      border-radius: 99px;
      background: var(--idle-ground);
      overflow: hidden;
    }
    .done {
      height: 100%;
      width: 0;
      border-radius: inherit;
      background: var(--accent);
    }
    /* What has ended is shown as it is at once. */
    :host([tone='busy']) .done {
      transition: width 0.3s linear;
    }
    :host([tone='good']) .done {
      background: var(--good);
    }
    :host([tone='bad']) .done {
      background: var(--bad);
    }
    :host([tone='warn']) .done {
      background: var(--warn);
    }
    :host([tone='idle']) .done {
      background: var(--line-strong);
    }
    @media (prefers-reduced-motion: reduce) {
      :host([tone='busy']) .done {
        transition: none;
      }
    }
  `;

  @property({ type: Number }) value = 0;
  @property() label = '';
  @property({ reflect: true }) tone: Tone = 'busy';

  @query('.done') private readonly done!: HTMLElement;

  override render() {
    return html`<div
      class="track"
      role="progressbar"
      aria-label=${this.label}
      aria-valuemin="0"
      aria-valuemax="100"
      aria-valuenow=${Math.floor(this.value)}
      aria-valuetext=${percent(this.value)}
    >
      <div class="done"></div>
    </div>`;
  }

  override updated(): void {
    this.done.style.width = `${this.value}%`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-progress': FfProgress;
  }
}
