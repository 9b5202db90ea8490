import { LitElement, css, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { base } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { icon } from '../icon/icon.js';

/**
 * What stands where there is nothing to show: still loading, nothing there yet, or an error.
 *
 * @slot - what to do about it
 */
@customElement('ff-notice')
export class FfNotice extends LitElement {
  static override styles = [
    base,
    css`
      .box {
        padding: var(--space-6) var(--space-4);
        text-align: center;
        color: var(--text-dim);
      }
      .box strong {
        display: block;
        color: var(--text);
        font-weight: 600;
      }
      .strip {
        display: flex;
        align-items: flex-start;
        gap: var(--space-2);
        padding: var(--space-2) var(--space-3);
        margin-bottom: var(--space-3);
        border-radius: var(--radius);
        background: var(--bad-ground);
        color: var(--bad);
        font-size: 13px;
        overflow-wrap: anywhere;
      }
      .strip svg {
        flex: none;
        margin-top: 2px;
      }
    `,
  ];

  @property() kind: 'loading' | 'empty' | 'error' = 'empty';
  @property() heading = '';

  override render() {
    if (this.kind === 'error') {
      return html`<div class="strip" role="alert">
        ${icon('warning')}
        <div>${this.heading} <slot></slot></div>
      </div>`;
    }
    const heading = this.kind === 'loading' ? texts.common.loading : this.heading;
    return html`<div class="box" role=${this.kind === 'loading' ? 'status' : nothing}>
      ${this.kind === 'loading' ? heading : html`<strong>${heading}</strong>`}
      <slot></slot>
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-notice': FfNotice;
  }
}
