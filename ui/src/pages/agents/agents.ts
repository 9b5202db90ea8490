import { LitElement, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';

import type { Agent } from '../../api/types.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import '../../components/status/status.js';
import { toneOf } from '../../components/status/status.js';
import '../../components/time/time.js';
import type { Hub } from '../../data/hub.js';
import { Keep } from '../../data/keep.js';
import { mayManage } from '../../data/roles.js';
import { linkTo } from '../../data/router.js';
import type { Rows } from '../../data/rows.js';
import { base, controls, page, table } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './agents.styles.js';
import './new-agent.js';

const words = texts.agents;

/** Which agents there are, how each is connected and why so. */
@customElement('ff-agents')
export class FfAgents extends LitElement {
  static override styles = [base, controls, page, table, styles];

  @property({ attribute: false }) hub!: Hub;

  private agents!: Rows<Agent>;
  private readonly kept = new Keep(this);

  override connectedCallback(): void {
    super.connectedCallback();
    this.agents = this.hub.agents();
    this.kept.set(this.hub.live, [this.agents]);
  }

  override render() {
    const { items, loaded, problem, hasMore } = this.agents;
    const online = items.filter(agent => agent.status === 'online').length;
    return html`
      <div class="head">
        <h1>${words.title}</h1>
        ${items.length ? html`<span class="dim">${words.count(online, items.length, hasMore)}</span>` : nothing}
        <span class="grow"></span>
        ${
          mayManage(this.hub.session.user)
            ? html`<button class="primary" @click=${this.create}>
                ${icon('plus', 14)} ${texts.agent.create}
              </button>`
            : nothing
        }
      </div>
      ${problem ? html`<ff-notice kind="error" heading=${texts.common.old}>${problem.message}</ff-notice>` : nothing}
      <div class="panel">
        ${items.length ? this.table(items) : this.nothingYet(loaded)}
        ${
          hasMore
            ? html`<div class="more"><button @click=${this.more}>${texts.common.more}</button></div>`
            : nothing
        }
      </div>
      <ff-new-agent .hub=${this.hub}></ff-new-agent>
    `;
  }

  private create(): void {
    this.renderRoot.querySelector('ff-new-agent')?.show();
  }

  private nothingYet(loaded: boolean) {
    if (!loaded) return html`<ff-notice kind="loading"></ff-notice>`;
    return html`<ff-notice heading=${words.empty}>${words.emptyWhy}</ff-notice>`;
  }

  private table(items: readonly Agent[]) {
    return html`<table>
      <thead>
        <tr>
          <th>${words.name}</th>
          <th class="c-status">${words.status}</th>
          <th class="c-transport wide">${words.transport}</th>
          <th class="c-seen">${words.seen}</th>
          <th class="c-tags wide">${words.tags}</th>
        </tr>
      </thead>
      <tbody>
        ${repeat(
          items,
          agent => agent.id,
          agent => this.row(agent),
        )}
      </tbody>
    </table>`;
  }

  private row(agent: Agent) {
    const transport = agent.transport === null ? '' : (words.transports[agent.transport] ?? agent.transport);
    return html`<tr>
      <td title=${agent.name}>
        <div class="cut"><a class="name" href=${linkTo.agent(agent.id)}>${agent.name}</a></div>
        <span class="under cut">${agent.description || system(agent)}</span>
        <span class="under cut narrow">${transport}</span>
      </td>
      <td>
        <ff-status tone=${toneOf(agent.status)} title=${words.statusWhy[agent.status]}
          >${words.statuses[agent.status]}</ff-status
        >
      </td>
      <td class="wide" title=${agent.transport_reason ?? ''}>
        ${transport || html`<span class="dim">${texts.common.none}</span>`}
        ${agent.transport_reason ? html`<span class="under cut">${agent.transport_reason}</span>` : nothing}
      </td>
      <td>
        ${agent.status === 'online' ? words.connected : html`<ff-time .at=${agent.last_seen}></ff-time>`}
        ${
          agent.status === 'online'
            ? html`<span class="under">${words.since} <ff-time .at=${agent.connected_since}></ff-time></span>`
            : nothing
        }
      </td>
      <td class="wide">${agent.tags.map(tag => html`<span class="tag" title=${tag}>${tag}</span>`)}</td>
    </tr>`;
  }

  private async more(): Promise<void> {
    await this.agents.showMore();
  }
}

/** What the agent says of its host; it may say anything. */
function system(agent: Agent): string {
  const info = (agent.info ?? {}) as Record<string, unknown>;
  return ['hostname', 'os']
    .map(name => info[name])
    .filter((value): value is string => typeof value === 'string' && value !== '')
    .join(' · ');
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-agents': FfAgents;
  }
}
