import { LitElement, css, svg } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { pathOf } from '../../data/spark_path.js';
import { base } from '../../styles/shared.js';

const WIDTH = 72;
const HEIGHT = 18;

/** A line as high as its largest value, for a glance; `label` says what it shows. */
@customElement('ff-spark')
export class FfSpark extends LitElement {
  static override styles = [
    base,
    css`
      :host {
        display: inline-block;
        vertical-align: middle;
      }
      svg {
        display: block;
        width: ${WIDTH}px;
        height: ${HEIGHT}px;
      }
      path {
        fill: none;
        stroke: var(--accent);
        stroke-width: 1.5;
        stroke-linejoin: round;
      }
    `,
  ];

  @property({ attribute: false }) values: readonly number[] = [];
  @property() label = '';

  override render() {
    return svg`<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label=${this.label}>
      <path d=${pathOf(this.values, WIDTH, HEIGHT)}></path>
    </svg>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-spark': FfSpark;
  }
}
