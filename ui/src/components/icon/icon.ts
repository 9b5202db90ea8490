import { html, svg, type TemplateResult } from 'lit';

const paths = {
  agents: svg`<rect x="2.5" y="3" width="11" height="4" rx="1"/><rect x="2.5" y="9" width="11" height="4" rx="1"/><path d="M5 5h.01M5 11h.01"/>`,
  jobs: svg`<path d="M2.5 5.5h9M8.8 2.8l2.7 2.7-2.7 2.7M13.5 10.5h-9M7.2 7.8l-2.7 2.7 2.7 2.7"/>`,
  runs: svg`<path d="M2.5 8h2.6l1.7-4.5L9.4 12.5l1.7-4.5h2.4"/>`,
  api: svg`<path d="M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5"/>`,
  play: svg`<path d="M5 3.5v9l7-4.5z" fill="currentColor"/>`,
  sun: svg`<circle cx="8" cy="8" r="2.6"/><path d="M8 1.8v1.4M8 12.8v1.4M1.8 8h1.4M12.8 8h1.4M3.6 3.6l1 1M11.4 11.4l1 1M3.6 12.4l1-1M11.4 4.6l1-1"/>`,
  moon: svg`<path d="M13 9.6A5.5 5.5 0 0 1 6.4 3a5.5 5.5 0 1 0 6.6 6.6z"/>`,
  leave: svg`<path d="M6 2.5H3.5v11H6M6.5 8H14M11.2 5.2 14 8l-2.8 2.8"/>`,
  arrow: svg`<path d="M2.5 8h10.5M9.8 4.8 13 8l-3.2 3.2"/>`,
  check: svg`<path d="M3 8.5 6.5 12 13 4.5"/>`,
  warning: svg`<path d="M8 2.2 14.5 13.5h-13zM8 6.5v3.3M8 11.6h.01"/>`,
};

export type IconName = keyof typeof paths;

/** A drawing beside a word, or in a control that has a name of its own; it says nothing to a screen reader. */
export function icon(name: IconName, size = 16): TemplateResult {
  return html`<svg
    width=${size}
    height=${size}
    viewBox="0 0 16 16"
    fill="none"
    stroke="currentColor"
    stroke-width="1.5"
    stroke-linecap="round"
    stroke-linejoin="round"
    aria-hidden="true"
  >
    ${paths[name]}
  </svg>`;
}
