import { LitElement, css, html } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import { base, controls } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import '../dialog/dialog.js';
import type { FfDialog } from '../dialog/dialog.js';

interface Question {
  heading: string;
  /** What it means. */
  why: string;
  /** The word on the button. */
  yes: string;
  then: () => unknown;
}

/** Asks before something that cannot be taken back. Call `ask`. */
@customElement('ff-confirm')
export class FfConfirm extends LitElement {
  static override styles = [
    base,
    controls,
    css`
      p {
        color: var(--text-dim);
      }
    `,
  ];

  /** The word on the button that changes nothing. */
  @property() cancel: string = texts.common.cancel;

  @state() private question: Question | undefined;
  @query('ff-dialog') private readonly dialog!: FfDialog;

  override render() {
    return html`<ff-dialog heading=${this.question?.heading ?? ''} cancel=${this.cancel}>
      <p>${this.question?.why}</p>
      <button slot="buttons" class="bad" @click=${this.yes}>${this.question?.yes}</button>
    </ff-dialog>`;
  }

  ask(question: Question): void {
    this.question = question;
    this.dialog.show();
  }

  private yes(): void {
    this.dialog.close();
    void this.question?.then();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-confirm': FfConfirm;
  }
}
