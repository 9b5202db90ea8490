import { LitElement, css, html, unsafeCSS } from 'lit';
import { customElement, property, query } from 'lit/decorators.js';
import Plot from 'uplot';
import plotCss from 'uplot/dist/uPlot.min.css?inline';

import { base } from '../../styles/shared.js';

const HEIGHT = 168;
const WINDOW_S = 300;
/** Steps of the vertical axis: powers of two, as sizes have them. */
const STEPS = Array.from({ length: 40 }, (_, power) => 256 * 2 ** power);
const FONT = '11.5px system-ui, sans-serif';

/** A line over time. It follows the theme and the width that it is given. */
@customElement('ff-chart')
export class FfChart extends LitElement {
  static override styles = [
    base,
    unsafeCSS(plotCss),
    css`
      .chart {
        height: 168px;
        min-width: 0;
      }
      .u-legend {
        display: none;
      }
    `,
  ];

  /** Unix seconds. */
  @property({ attribute: false }) times: readonly number[] = [];
  @property({ attribute: false }) values: readonly number[] = [];
  @property({ attribute: false }) format: (value: number) => string = String;
  @property() label = '';

  @query('.chart') private readonly place!: HTMLElement;

  private plot: Plot | undefined;
  private readonly size = new ResizeObserver(() => {
    this.plot?.setSize({ width: this.place.clientWidth, height: HEIGHT });
  });
  private readonly scheme = matchMedia('(prefers-color-scheme: dark)');
  private readonly theme = new MutationObserver(() => {
    this.rebuild();
  });
  private readonly schemeChanged = () => {
    this.rebuild();
  };

  override render() {
    return html`<div class="chart" role="img" aria-label=${this.label}></div>`;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.theme.observe(document.documentElement, { attributeFilter: ['data-theme'] });
    this.scheme.addEventListener('change', this.schemeChanged);
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.size.disconnect();
    this.theme.disconnect();
    this.scheme.removeEventListener('change', this.schemeChanged);
    this.plot?.destroy();
    this.plot = undefined;
  }

  override updated(): void {
    if (this.plot) this.plot.setData(this.data());
    else this.build();
  }

  private data(): Plot.AlignedData {
    return [[...this.times], [...this.values]];
  }

  private window(): [number, number] {
    const end = this.times.at(-1) ?? Date.now() / 1000;
    return [end - WINDOW_S, end];
  }

  private rebuild(): void {
    this.plot?.destroy();
    this.plot = undefined;
    this.requestUpdate();
  }

  private build(): void {
    const color = (name: string) => {
      // light-dark() is resolved only where a colour is used.
      this.place.style.color = `var(${name})`;
      return getComputedStyle(this.place).color;
    };
    const line = color('--accent');
    const text = color('--text-dim');
    const grid = { stroke: color('--line'), width: 1 };
    this.place.style.color = '';
    const axis = { stroke: text, font: FONT, grid, ticks: { show: false } };
    this.plot = new Plot(
      {
        width: Math.max(100, this.place.clientWidth),
        height: HEIGHT,
        cursor: { y: false, points: { show: false } },
        legend: { show: false },
        scales: {
          x: { range: () => this.window() },
          y: { range: (_plot, _min, max) => [0, Math.max(max * 1.1, 1024)] },
        },
        axes: [
          { ...axis, space: 90, size: 30, values: (_plot, splits) => splits.map(clock) },
          { ...axis, size: 84, incrs: STEPS, values: (_plot, splits) => splits.map(this.format) },
        ],
        series: [
          {},
          {
            stroke: line,
            width: 1.5,
            fill: `color-mix(in srgb, ${line} 12%, transparent)`,
            points: { show: false },
          },
        ],
      },
      this.data(),
      this.place,
    );
    this.size.observe(this.place);
  }
}

function clock(unixSeconds: number): string {
  return new Date(unixSeconds * 1000).toLocaleTimeString('en-GB');
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-chart': FfChart;
  }
}
