import { html, svg, type TemplateResult } from 'lit';

const paths = {
  agents: svg`<rect x="2.5" y="3" width="11" height="4" rx="1"/><rect x="2.5" y="9" width="11" height="4" rx="1"/><path d="M5 5h.01M5 11h.01"/>`,
  jobs: svg`<path d="M2.5 5.5h9M8.8 2.8l2.7 2.7-2.7 2.7M13.5 10.5h-9M7.2 7.8l-2.7 2.7 2.7 2.7"/>`,
  runs: svg`<path d="M2.5 8h2.6l1.7-4.5L9.4 12.5l1.7-4.5h2.4"/>`,
  api: svg`<path d="M5.5 4.5 2 8l3.5 3.5M10.5 4.5 14 8l-3.5 3.5"/>`,
  home: svg`<path d="M2.5 7.5 8 3l5.5 4.5v5.5h-4v-3.5h-3v3.5h-4z"/>`,
  map: svg`<circle cx="3.5" cy="4" r="1.5"/><circle cx="3.5" cy="12" r="1.5"/><circle cx="12.5" cy="8" r="1.5"/><path d="M5 4.4c3 .6 3.500 2.600 6 3.300M5 11.600c3-.6 3.500-2.600 6-3.300"/>`,
  clock: svg`<circle cx="8" cy="8" r="5.5"/><path d="M8 4.8V8l2.2 1.6"/>`,
  audit: svg`<path d="M4 2.5h8v11H4zM6.2 5.5h3.6M6.2 8h3.6M6.2 10.5h2"/>`,
  users: svg`<circle cx="6" cy="5.5" r="2.3"/><path d="M2 13c.3-2.6 1.9-4 4-4s3.700 1.400 4 4M10.500 3.500a2.300 2.300 0 0 1 0 4.200M11.500 9.300c1.500.5 2.400 1.800 2.600 3.700"/>`,
  bell: svg`<path d="M8 2.500c2.300 0 3.500 1.600 3.500 4v2.700l1.200 2.300H3.300l1.200-2.300V6.500c0-2.400 1.200-4 3.500-4zM6.700 13.500h2.600"/>`,
  settings: svg`<path d="M2.500 5h6M11.500 5h2M2.500 11h2M7.500 11h6"/><circle cx="10" cy="5" r="1.500"/><circle cx="6" cy="11" r="1.500"/>`,
  copy: svg`<rect x="5.500" y="5.500" width="8" height="8" rx="1.200"/><path d="M10.500 5.500v-2a1 1 0 0 0-1-1h-6a1 1 0 0 0-1 1v6a1 1 0 0 0 1 1h2"/>`,
  folder: svg`<path d="M2 4.500a1 1 0 0 1 1-1h3l1.500 1.700H13a1 1 0 0 1 1 1v5.800a1 1 0 0 1-1 1H3a1 1 0 0 1-1-1z"/>`,
  file: svg`<path d="M4 2.500h5l3 3v8H4zM9 2.500v3h3"/>`,
  plus: svg`<path d="M8 3.500v9M3.500 8h9"/>`,
  pause: svg`<path d="M5.500 3.500v9M10.500 3.500v9"/>`,
  again: svg`<path d="M13 8a5 5 0 1 1-1.500-3.600M13 2.500v2.600h-2.600"/>`,
  search: svg`<circle cx="7" cy="7" r="4.300"/><path d="m10.300 10.300 3.200 3.200"/>`,
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
