import { LitElement, css, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import { Problem } from '../../api/problem.js';
import { icon } from '../../components/icon/icon.js';
import '../../components/notice/notice.js';
import { itemsFor } from '../../components/shell/items.js';
import { Action } from '../../data/action.js';
import type { Hub } from '../../data/hub.js';
import { linkTo } from '../../data/router.js';
import { base, controls, forms, page, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.profile;

/** Who is logged in, and the password. */
@customElement('ff-profile')
export class FfProfile extends LitElement {
  static override styles = [
    base,
    controls,
    forms,
    page,
    parts,
    css`
      .panel {
        max-width: 34rem;
      }
      .narrow {
        display: none;
      }
      .narrow a {
        display: flex;
        align-items: center;
        gap: var(--space-3);
        padding: 12px var(--space-4);
        border-bottom: 1px solid var(--line);
        color: var(--text);
      }
      .narrow a:last-child {
        border-bottom: 0;
      }
      @media (max-width: 720px) {
        .narrow {
          display: block;
        }
      }
      .done {
        margin-top: var(--space-3);
        color: var(--good);
      }
    `,
  ];

  @property({ attribute: false }) hub!: Hub;

  private readonly action = new Action(this);

  override render() {
    const { user } = this.hub.session;
    return html`
      <div class="head"><h1>${words.title}</h1></div>
      <div class="parts">
        <section class="panel inside">
          <dl class="facts">
            <div>
              <dt>${texts.users.name}</dt>
              <dd>${user?.name || texts.common.none}</dd>
            </div>
            <div>
              <dt>${texts.users.email}</dt>
              <dd>${user?.email}</dd>
            </div>
            <div>
              <dt>${texts.users.role}</dt>
              <dd>${user ? texts.shell.roles[user.role] : ''}</dd>
            </div>
          </dl>
        </section>
        <nav class="panel narrow" aria-label=${words.more}>
          ${itemsFor(user)
            .filter(item => item.rare)
            .map(item => html`<a href=${linkTo.page(item.page)}>${icon(item.icon)} ${item.text}</a>`)}
          <a href="/api/docs">${icon('api')} ${texts.shell.api}</a>
        </nav>
        <section class="panel">
          <h2>${words.password}</h2>
          <form class="inside" @submit=${this.change}>
            ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
            <div class="fields">
              <label class="all"
                >${words.old}<input name="old" type="password" required autocomplete="current-password"
              /></label>
              <label
                >${words.fresh}<input name="fresh" type="password" required autocomplete="new-password"
              /></label>
              <label
                >${words.again}<input name="again" type="password" required autocomplete="new-password"
              /></label>
            </div>
            <div class="actions">
              <button class="primary" ?disabled=${this.action.busy}>${words.change}</button>
            </div>
            ${this.action.done ? html`<p class="done" role="status">${words.changed}</p>` : nothing}
          </form>
        </section>
      </div>
    `;
  }

  private async change(event: SubmitEvent): Promise<void> {
    event.preventDefault();
    const element = event.target as HTMLFormElement;
    const form = new FormData(element);
    const changed = await this.action.run(async () => {
      if (form.get('fresh') !== form.get('again')) throw new Problem(words.differ, 422, 'invalid');
      await this.hub.session.changePassword(form.get('old') as string, form.get('fresh') as string);
    });
    if (changed) element.reset();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-profile': FfProfile;
  }
}
