import { LitElement, html, nothing } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import type { User } from '../../api/types.js';
import type { Link } from '../../data/live.js';
import { linkTo } from '../../data/router.js';
import { isDark, toggleTheme } from '../../data/theme.js';
import { base, controls } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { icon } from '../icon/icon.js';
import '../link-state/link-state.js';
import { itemsFor } from './items.js';
import { styles } from './shell.styles.js';

/**
 * What stands around every page: navigation, who is logged in, how changes arrive.
 *
 * @slot - the page
 * @event logout - the user wants to leave
 */
@customElement('ff-shell')
export class FfShell extends LitElement {
  static override styles = [base, controls, styles];

  @property({ attribute: false }) user: User | undefined;
  @property() link: Link = 'connecting';
  /** The item of the navigation that is shown as the present one. */
  @property() current = '';

  override render() {
    const theme = isDark() ? texts.shell.themeLight : texts.shell.themeDark;
    return html`
      <a class="skip" href="#main" @click=${this.skip}>${texts.shell.skip}</a>
      <nav aria-label=${texts.shell.navigation}>
        <div class="brand"><img src="/favicon.svg" alt="" />${texts.product}</div>
        ${itemsFor(this.user).map(
          item =>
            html`<a
              class=${item.rare ? 'rare' : ''}
              href=${linkTo.page(item.page)}
              aria-current=${item.page === this.current ? 'page' : nothing}
              >${icon(item.icon)}${item.text}</a
            >`,
        )}
        <a class="apart rare" href="/api/docs">${icon('api')}${texts.shell.api}</a>
      </nav>
      <header>
        <div class="brand small"><img src="/favicon.svg" alt="" /></div>
        <ff-link-state .link=${this.link}></ff-link-state>
        <a class="who" href=${linkTo.page('profile')} title=${texts.profile.title}>
          <span class="cut">${this.user?.email}</span>
          <span class="dim">${this.user ? texts.shell.roles[this.user.role] : ''}</span>
        </a>
        <button class="quiet" title=${theme} aria-label=${theme} @click=${this.theme}>
          ${icon(isDark() ? 'sun' : 'moon')}
        </button>
        <button
          class="quiet"
          title=${texts.shell.logOut}
          aria-label=${texts.shell.logOut}
          @click=${this.leave}
        >
          ${icon('leave')}
        </button>
      </header>
      <main id="main" tabindex="-1"><slot></slot></main>
    `;
  }

  private skip(event: Event): void {
    event.preventDefault();
    this.renderRoot.querySelector('main')?.focus();
  }

  private theme(): void {
    toggleTheme();
    this.requestUpdate();
  }

  private leave(): void {
    this.dispatchEvent(new Event('logout'));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-shell': FfShell;
  }
}
