import { html, type TemplateResult } from 'lit';

/** One entry of a `dl.facts`: a name and what it is. */
export function fact(name: string, value: string | TemplateResult): TemplateResult {
  return html`<div>
    <dt>${name}</dt>
    <dd>${value}</dd>
  </div>`;
}
