import { LitElement, css, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { absolute, ago, seconds } from '../../data/format.js';
import { texts } from '../../texts.js';

const shown = new Set<FfTime>();
setInterval(() => {
  for (const time of shown) time.requestUpdate();
}, 5000);

/** How long ago something was, or when it will be; the moment itself, with its zone, is shown when the pointer rests on it. */
@customElement('ff-time')
export class FfTime extends LitElement {
  static override styles = css`
    :host {
      white-space: nowrap;
    }
  `;

  /** As the API has it; null is never. */
  @property() at: string | null = null;
  /** It may lie ahead. Otherwise the hub's clock is merely ahead of this one. */
  @property({ type: Boolean }) future = false;

  override connectedCallback(): void {
    super.connectedCallback();
    shown.add(this);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    shown.delete(this);
  }

  override render() {
    if (!this.at) return html`${texts.common.never}`;
    const past = this.future ? seconds(this.at, null) : Math.max(0, seconds(this.at, null));
    return html`<time datetime=${this.at} title=${absolute(this.at) || nothing}
      >${ago(past, texts.common.now)}</time
    >`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-time': FfTime;
  }
}
