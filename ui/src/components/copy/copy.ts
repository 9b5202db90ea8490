import { LitElement, css, html } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import { base, controls } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { icon } from '../icon/icon.js';

const SHOWN_MS = 1500;

/** Text to be taken elsewhere, a command or a file, with a button that copies it. */
@customElement('ff-copy')
export class FfCopy extends LitElement {
  static override styles = [
    base,
    controls,
    css`
      .box {
        display: flex;
        align-items: flex-start;
        gap: var(--space-2);
        padding: var(--space-2) var(--space-2) var(--space-2) var(--space-3);
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: var(--ground);
      }
      pre {
        flex: 1;
        min-width: 0;
        max-height: 22rem;
        margin: 4px 0;
        overflow: auto;
        font: 12.5px / 1.5 var(--mono);
        white-space: pre-wrap;
        overflow-wrap: anywhere;
      }
      button {
        flex: none;
        width: 28px;
        height: 28px;
        padding: 0;
        color: var(--text-dim);
      }
    `,
  ];

  @property() text = '';

  @state() private copied = false;

  override render() {
    const name = this.copied ? texts.common.copied : texts.common.copy;
    return html`<div class="box">
      <pre tabindex="0">${this.text}</pre>
      <button class="quiet" title=${name} aria-label=${name} @click=${this.copy}>
        ${icon(this.copied ? 'check' : 'copy')}
      </button>
    </div>`;
  }

  private async copy(): Promise<void> {
    // The clipboard is for secure origins only; elsewhere the text is at least selected.
    try {
      await navigator.clipboard.writeText(this.text);
      this.copied = true;
      setTimeout(() => {
        this.copied = false;
      }, SHOWN_MS);
    } catch {
      const pre = this.renderRoot.querySelector('pre');
      if (pre) getSelection()?.selectAllChildren(pre);
    }
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-copy': FfCopy;
  }
}
