import { LitElement, css, html } from 'lit';
import { customElement, query } from 'lit/decorators.js';

import { base } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import '../dialog/dialog.js';
import type { FfDialog } from '../dialog/dialog.js';

/** The keys that work everywhere. Open it with `show`. */
@customElement('ff-help')
export class FfHelp extends LitElement {
  static override styles = [
    base,
    css`
      dl {
        display: grid;
        grid-template-columns: auto 1fr;
        gap: var(--space-2) var(--space-4);
        margin: 0;
      }
      dd {
        margin: 0;
      }
      kbd {
        padding: 1px 6px;
        border: 1px solid var(--line-strong);
        border-radius: 4px;
        font: 12px / 1.5 var(--mono);
      }
    `,
  ];

  @query('ff-dialog') private readonly dialog!: FfDialog;

  show(): void {
    this.dialog.show();
  }

  override render() {
    return html`<ff-dialog heading=${texts.keys.title} cancel=${texts.common.close}>
      <dl>
        ${Object.entries(texts.keys.words).map(
          ([keys, what]) =>
            html`<dt>${keys.split(' ').map(key => html`<kbd>${key}</kbd> `)}</dt>
              <dd>${what}</dd>`,
        )}
      </dl>
    </ff-dialog>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-help': FfHelp;
  }
}
