import { LitElement, css, html } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { base } from '../../styles/shared.js';

/**
 * A choice of one filter.
 *
 * @event change - the value that was chosen is in `value`
 */
@customElement('ff-tabs')
export class FfTabs extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: inline-block;
      }
      [role='group'] {
        display: inline-flex;
        padding: 2px;
        gap: 2px;
        border-radius: var(--radius);
        background: var(--idle-ground);
      }
      button {
        height: 26px;
        padding: 0 10px;
        border: 0;
        border-radius: 5px;
        background: none;
        color: var(--text-dim);
        font: 500 12.5px / 1 var(--font);
        cursor: pointer;
      }
      button[aria-pressed='true'] {
        background: var(--surface-raised);
        color: var(--text);
        box-shadow: var(--shadow);
      }
      button:hover {
        color: var(--text);
      }
    `,
  ];

  @property({ attribute: false }) options: Readonly<Record<string, string>> = {};
  @property() value = '';
  @property() label = '';

  override render() {
    return html`<div role="group" aria-label=${this.label}>
      ${Object.entries(this.options).map(
        ([value, text]) =>
          html`<button
            aria-pressed=${value === this.value ? 'true' : 'false'}
            @click=${() => {
              this.choose(value);
            }}
          >
            ${text}
          </button>`,
      )}
    </div>`;
  }

  private choose(value: string): void {
    this.value = value;
    this.dispatchEvent(new Event('change'));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-tabs': FfTabs;
  }
}
