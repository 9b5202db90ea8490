import { LitElement, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import { Problem, readable } from '../../api/problem.js';
import type { Session } from '../../api/session.js';
import '../../components/notice/notice.js';
import { base, controls } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import { styles } from './login.styles.js';

/** E-mail and password. What the page showed before is shown again after the login: the address stays. */
@customElement('ff-login')
export class FfLogin extends LitElement {
  static override styles = [base, controls, styles];

  @property({ attribute: false }) session!: Session;
  /** Why a session ended. */
  @property() reason = '';

  @state() private busy = false;
  @state() private problem = '';
  /** Seconds until the hub takes another attempt. */
  @state() private wait = 0;

  @query('#email') private readonly email!: HTMLInputElement;
  @query('#password') private readonly password!: HTMLInputElement;

  override firstUpdated(): void {
    this.email.focus();
  }

  override render() {
    const said = this.problem || this.reason;
    return html`<form @submit=${this.submit} aria-label=${texts.login.title}>
      <div class="brand">
        <img src="/favicon.svg" alt="" />
        <h1>${texts.product}</h1>
      </div>
      ${said ? html`<ff-notice kind="error" heading=${said}></ff-notice>` : nothing}
      <label for="email"
        >${texts.login.email}
        <input id="email" name="email" type="email" autocomplete="username" required maxlength="254" />
      </label>
      <label for="password"
        >${texts.login.password}
        <input
          id="password"
          name="password"
          type="password"
          autocomplete="current-password"
          required
          maxlength="1024"
        />
      </label>
      <button class="primary" ?disabled=${this.busy || this.wait > 0}>
        ${this.wait > 0 ? texts.problem.wait(this.wait) : this.busy ? texts.login.busy : texts.login.submit}
      </button>
    </form>`;
  }

  private async submit(event: Event): Promise<void> {
    event.preventDefault();
    if (this.busy || this.wait > 0) return;
    this.busy = true;
    this.problem = '';
    try {
      await this.session.login(this.email.value, this.password.value);
    } catch (error) {
      this.problem = readable(error);
      if (error instanceof Problem && error.retryAfter > 0) this.countDown(Math.ceil(error.retryAfter));
      else this.password.select();
    } finally {
      this.busy = false;
    }
  }

  private countDown(seconds: number): void {
    this.wait = seconds;
    const timer = setInterval(() => {
      this.wait -= 1;
      if (this.wait <= 0) clearInterval(timer);
    }, 1000);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-login': FfLogin;
  }
}
