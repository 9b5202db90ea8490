import { LitElement, css, html } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';

import { base, controls } from '../../styles/shared.js';
import { texts } from '../../texts.js';

/**
 * A question or a form before everything else. Open it with `show`, close it with `close`; Escape closes it too.
 *
 * @slot - what it asks
 * @slot buttons - what can be answered, beside Cancel
 * @event closed - however that came
 */
@customElement('ff-dialog')
export class FfDialog extends LitElement {
  static override styles = [
    base,
    controls,
    css`
      dialog {
        width: min(34rem, calc(100vw - 24px));
        max-height: calc(100dvh - 48px);
        padding: 0;
        border: 1px solid var(--line);
        border-radius: var(--radius-large);
        background: var(--surface-raised);
        color: var(--text);
        box-shadow: 0 12px 40px rgb(0 0 0 / 30%);
      }
      dialog::backdrop {
        background: rgb(10 14 18 / 45%);
      }
      :host([wide]) dialog {
        width: min(54rem, calc(100vw - 24px));
      }
      h2 {
        padding: var(--space-4) var(--space-4) 0;
        font-size: 15px;
      }
      .body {
        padding: var(--space-3) var(--space-4) var(--space-4);
      }
      .buttons {
        display: flex;
        justify-content: flex-end;
        gap: var(--space-2);
        padding: var(--space-3) var(--space-4);
        border-top: 1px solid var(--line);
      }
    `,
  ];

  @property() heading = '';
  @property() cancel: string = texts.common.cancel;
  @property({ type: Boolean, reflect: true }) wide = false;

  @query('dialog') private readonly dialog!: HTMLDialogElement;

  override render() {
    return html`<dialog aria-labelledby="heading" @close=${this.closed}>
      <h2 id="heading">${this.heading}</h2>
      <div class="body"><slot></slot></div>
      <div class="buttons">
        <button @click=${this.close}>${this.cancel}</button>
        <slot name="buttons"></slot>
      </div>
    </dialog>`;
  }

  show(): void {
    void this.updateComplete.then(() => {
      if (!this.dialog.open) this.dialog.showModal();
    });
  }

  close(): void {
    this.dialog.close();
  }

  private closed(): void {
    this.dispatchEvent(new Event('closed'));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-dialog': FfDialog;
  }
}
