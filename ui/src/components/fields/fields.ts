/** Controls of a form with their labels. What they show at first is their default: `reset` and the form's data go by it. */
import { html, nothing, type TemplateResult } from 'lit';

import type { Action } from '../../data/action.js';
import { texts } from '../../texts.js';

const words = texts.edit;

export function section(title: string, content: TemplateResult) {
  return html`<section class="panel">
    <h2>${title}</h2>
    <div class="inside">${content}</div>
  </section>`;
}

/** The end of a form that stays on the page. */
export function saving(action: Action) {
  return html`<div class="actions">
    <button class="primary" ?disabled=${action.busy}>${texts.settings.save}</button>
    ${action.done ? html`<span class="saved" role="status">${texts.settings.saved}</span>` : nothing}
  </div>`;
}

/** The choice for an input with `list="zones"` in the same root. */
export function zones() {
  return html`<datalist id="zones">
    ${Intl.supportedValuesOf('timeZone').map(zone => html`<option value=${zone}></option>`)}
  </datalist>`;
}

export function text(name: string, label: string, value: string, { required = false, max = 4096 } = {}) {
  return html`<label
    >${label}<input
      name=${name}
      ?required=${required}
      maxlength=${max}
      autocomplete="off"
      .defaultValue=${value}
  /></label>`;
}

export function lines(name: string, label: string, values: readonly string[]) {
  return html`<label
    >${label}<textarea name=${name} rows="3" spellcheck="false" .defaultValue=${values.join('\n')}></textarea
    ><span class="help">${words.patternsHelp}</span></label
  >`;
}

export function box(name: string, label: string, checked: boolean) {
  return html`<label class="check"
    ><input type="checkbox" name=${name} ?checked=${checked} />${label}</label
  >`;
}

export function choice(
  name: string,
  label: string,
  options: Readonly<Record<string, string>>,
  value: string,
) {
  return html`<label
    >${label}<select name=${name}>
      ${Object.entries(options).map(([one, words]) => html`<option value=${one} ?selected=${one === value}>${words}</option>`)}
    </select></label
  >`;
}

interface NumberOptions {
  min?: number;
  max?: number;
  step?: string;
  help?: string;
  required?: boolean;
}

export function number(name: string, label: string, value: string, options: NumberOptions = {}) {
  const { min = 0, max, step = '1', help, required = false } = options;
  return html`<label
    >${label}<input
      name=${name}
      type="number"
      ?required=${required}
      min=${min}
      max=${max ?? nothing}
      step=${step}
      .defaultValue=${value}
    />${help ? html`<span class="help">${help}</span>` : nothing}</label
  >`;
}
