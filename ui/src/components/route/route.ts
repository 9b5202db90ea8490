import { LitElement, css, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { base } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { icon } from '../icon/icon.js';

/** From where to where: agent and path of both ends, side by side, or below each other where it is narrow. */
@customElement('ff-route')
export class FfRoute extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        container-type: inline-size;
        min-width: 0;
      }
      .route {
        display: grid;
        grid-template-columns: minmax(0, 1fr) auto minmax(0, 1fr);
        align-items: center;
        gap: var(--space-3);
      }
      .end {
        font-size: 13px;
        line-height: 1.4;
      }
      .path {
        display: flex;
        color: var(--text-dim);
        font-family: var(--mono);
        font-size: 12px;
      }
      .path span:last-child {
        flex: 0 1 auto;
        min-width: min(100%, 8ch);
      }
      .path span:first-child:not(:last-child) {
        flex: 0 100 auto;
      }
      svg {
        flex: none;
        color: var(--text-dim);
      }
      @container (max-width: 260px) {
        .route {
          grid-template-columns: minmax(0, 1fr);
          gap: 0;
        }
        svg {
          transform: rotate(90deg);
        }
      }
    `,
  ];

  @property() source = '';
  @property() sourcePath = '';
  @property() destination = '';
  @property() destinationPath = '';

  override render() {
    return html`<div class="route">
      ${this.end(texts.jobs.source, this.source, this.sourcePath)} ${icon('arrow', 14)}
      ${this.end(texts.jobs.destination, this.destination, this.destinationPath)}
    </div>`;
  }

  private end(word: string, agent: string, path: string) {
    // Where there is no room the end of a path says more than its beginning.
    const head = path.slice(0, path.replace(/[/\\]+$/, '').search(/[^/\\]*$/));
    return html`<div class="end" title="${word} ${agent}:${path}">
      <div class="cut">${agent}</div>
      <div class="path">
        ${head ? html`<span class="cut">${head}</span>` : nothing}<span class="cut"
          >${path.slice(head.length)}</span
        >
      </div>
    </div>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-route': FfRoute;
  }
}
