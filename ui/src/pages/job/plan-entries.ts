import { LitElement, css, html, nothing, type PropertyValues } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import type { Answer } from '../../api/paths.js';
import '../../components/notice/notice.js';
import '../../components/tabs/tabs.js';
import type { FfTabs } from '../../components/tabs/tabs.js';
import { bytes } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { Rows } from '../../data/rows.js';
import { base, controls, page, part, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';

type Entry = Answer<'get', '/api/plans/{plan_id}/entries'>['items'][number];
export const CLASSES = ['new', 'changed', 'equal', 'extra', 'refused'] as const;
export type PlanClass = (typeof CLASSES)[number];

const words = texts.job;

/** The files that a plan found, class by class. */
@customElement('ff-plan-entries')
export class FfPlanEntries extends LitElement {
  static override styles = [
    base,
    controls,
    page,
    table,
    part,
    css`
      ff-tabs {
        margin: var(--space-3) 0 var(--space-2);
      }
      .path {
        font: 12.5px / 1.5 var(--mono);
      }
      .c-size {
        width: 110px;
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;
  @property({ type: Number }) planId = 0;
  /** Those that have files. */
  @property({ attribute: false, hasChanged: (one, other) => String(one) !== String(other) })
  classes: readonly PlanClass[] = [];

  @state() private chosen: PlanClass = 'new';
  private entries!: Rows<Entry>;
  private readonly kept = new Keep(this);

  override willUpdate(changed: PropertyValues): void {
    if (changed.has('classes')) this.chosen = this.classes[0] ?? 'new';
    if (!changed.has('planId') && !changed.has('chosen') && !changed.has('classes')) return;
    const { planId: id, chosen } = this;
    this.entries = new Rows<Entry>({
      read: (limit, cursor) =>
        this.hub.client.get('/api/plans/{plan_id}/entries', { id, query: { class: chosen, limit, cursor } }),
      event: '',
      newest: 'last',
    });
    this.kept.set(this.hub.live, [this.entries]);
  }

  override render() {
    const { items, loaded, problem, hasMore } = this.entries;
    const names = Object.fromEntries(this.classes.map(name => [name, words.classes[name] ?? name]));
    return html`
      <ff-tabs
        .options=${names}
        .value=${this.chosen}
        .label=${words.planFiles}
        @change=${this.choose}
      ></ff-tabs>
      ${problem ? html`<ff-notice kind="error" heading=${problem.message}></ff-notice>` : nothing}
      ${
        items.length
          ? html`<table>
              <tbody>
                ${items.map(
                  entry =>
                    html`<tr>
                      <td title=${entry.path}>
                        <div class="path cut">${entry.path}</div>
                        ${entry.reason ? html`<span class="under cut" title=${entry.reason}>${entry.reason}</span>` : nothing}
                      </td>
                      <td class="number c-size">${entry.kind === 'directory' ? '' : bytes(entry.size)}</td>
                    </tr>`,
                )}
              </tbody>
            </table>`
          : html`<ff-notice kind=${loaded ? 'empty' : 'loading'} heading=${words.planNoFiles}></ff-notice>`
      }
      ${hasMore ? html`<div class="more"><button @click=${this.more}>${texts.common.more}</button></div>` : nothing}
    `;
  }

  private choose(event: Event): void {
    this.chosen = (event.target as FfTabs).value as PlanClass;
  }

  private async more(): Promise<void> {
    await this.entries.showMore();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-plan-entries': FfPlanEntries;
  }
}
