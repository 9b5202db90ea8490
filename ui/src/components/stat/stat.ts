import { LitElement, css, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { base } from '../../styles/shared.js';
import type { Tone } from '../status/status.js';

/**
 * One number that matters, with its name; the whole leads to the list that it counts.
 *
 * @slot - what is said below the number
 */
@customElement('ff-stat')
export class FfStat extends LitElement {
  static override styles = [
    base,
    css`
      a,
      .box {
        display: block;
        height: 100%;
        padding: var(--space-3) var(--space-4);
        border: 1px solid var(--line);
        border-radius: var(--radius-large);
        background: var(--surface);
        color: inherit;
      }
      a:hover {
        border-color: var(--line-strong);
        text-decoration: none;
      }
      .name {
        font-size: var(--size-small);
        color: var(--text-dim);
      }
      .value {
        margin-top: 2px;
        font-size: 21px;
        white-space: nowrap;
        font-weight: 600;
        line-height: 1.25;
        letter-spacing: -0.02em;
      }
      :host([tone='bad']) .value {
        color: var(--bad);
      }
      :host([tone='warn']) .value {
        color: var(--warn);
      }
      .under {
        min-height: 18px;
        font-size: var(--size-small);
        color: var(--text-dim);
      }
    `,
  ];

  @property() name = '';
  @property() value = '';
  @property() href = '';
  @property({ reflect: true }) tone: Tone = 'idle';

  override render() {
    const inside = html`<div class="name">${this.name}</div>
      <div class="value">${this.value}</div>
      <div class="under"><slot></slot></div>`;
    return this.href
      ? html`<a href=${this.href} title=${this.title || nothing}>${inside}</a>`
      : html`<div class="box">${inside}</div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-stat': FfStat;
  }
}
