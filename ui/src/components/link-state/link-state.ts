import { LitElement, css, html } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import type { Link } from '../../data/live.js';
import { base } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const WHY: Record<Link, string> = {
  live: texts.link.liveWhy,
  polling: texts.link.pollingWhy,
  offline: texts.link.offlineWhy,
  connecting: texts.link.connectingWhy,
};

/** How the page hears of changes. */
@customElement('ff-link-state')
export class FfLinkState extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: inline-flex;
      }
      span {
        display: inline-flex;
        align-items: center;
        gap: 6px;
        font-size: 12px;
        color: var(--text-dim);
        white-space: nowrap;
      }
      i {
        width: 7px;
        height: 7px;
        border-radius: 50%;
        background: var(--line-strong);
      }
      .live i {
        background: var(--good);
      }
      .polling i {
        background: var(--warn);
      }
      .offline i {
        background: var(--bad);
      }
      .offline {
        color: var(--bad);
        font-weight: 500;
      }
    `,
  ];

  @property() link: Link = 'connecting';

  override render() {
    return html`<span class=${this.link} role="status" title=${WHY[this.link]}
      ><i></i>${texts.link[this.link]}</span
    >`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-link-state': FfLinkState;
  }
}
