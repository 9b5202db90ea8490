import { LitElement, css, html, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';

import { Problem, readable } from '../../api/problem.js';
import { Hub } from '../../data/hub.js';
import { HOME, Router } from '../../data/router.js';
import { Watch } from '../../data/store.js';
import { texts } from '../../texts.js';
import '../../pages/agents/agents.js';
import '../../pages/jobs/jobs.js';
import '../../pages/login/login.js';
import '../../pages/run/run.js';
import '../../pages/runs/runs.js';
import '../notice/notice.js';
import '../shell/shell.js';

const AGAIN_MS = 3000;

/** The whole: who is logged in decides between the login and the shell, the address decides the page. */
@customElement('ff-app')
export class FfApp extends LitElement {
  static override styles = css`
    .alone {
      max-width: 30rem;
      margin: 20vh auto 0;
      padding: 16px;
    }
  `;

  private readonly hub = new Hub();
  private readonly router = new Router();

  @state() private problem = '';

  constructor() {
    super();
    new Watch(this, this.router);
    new Watch(this, this.hub.session);
    new Watch(this, this.hub.live);
    this.hub.session.subscribe(() => {
      this.follow();
    });
    void this.begin();
  }

  override render() {
    const { user, reason } = this.hub.session;
    if (user === undefined) {
      return this.problem
        ? html`<div class="alone"><ff-notice kind="error" heading=${this.problem}></ff-notice></div>`
        : html``;
    }
    if (user === null) return html`<ff-login .session=${this.hub.session} .reason=${reason}></ff-login>`;
    const { place } = this.router;
    return html`<ff-shell
      .user=${user}
      .link=${this.hub.live.link}
      .current=${place.page === 'run' ? 'runs' : place.page}
      @logout=${this.leave}
      >${this.page()}</ff-shell
    >`;
  }

  private page(): TemplateResult {
    const { hub } = this;
    const { place } = this.router;
    switch (place.page) {
      case 'agents':
        return html`<ff-agents .hub=${hub}></ff-agents>`;
      case 'jobs':
        return html`<ff-jobs .hub=${hub}></ff-jobs>`;
      case 'runs':
        return html`<ff-runs .hub=${hub} .filter=${place.filter}></ff-runs>`;
      case 'run':
        return html`<ff-run .hub=${hub} .runId=${place.id}></ff-run>`;
      case 'nowhere':
        return html`<ff-notice heading=${texts.common.notFound}
          ><a href=${HOME}>${texts.shell.jobs}</a></ff-notice
        >`;
    }
  }

  /** A hub that is away says nothing about the session: ask until it answers. */
  private async begin(): Promise<void> {
    for (;;) {
      try {
        await this.hub.session.start();
        this.problem = '';
        return;
      } catch (error) {
        this.problem = readable(error);
        const asked = error instanceof Problem ? error.retryAfter * 1000 : 0;
        await new Promise(resolve => setTimeout(resolve, Math.max(asked, AGAIN_MS)));
      }
    }
  }

  private follow(): void {
    if (this.hub.session.user) {
      this.hub.live.start();
    } else {
      this.hub.live.stop();
      this.hub.agentsById.clear();
      this.hub.jobsById.clear();
    }
  }

  private async leave(): Promise<void> {
    await this.hub.session.logout().catch(() => undefined);
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-app': FfApp;
  }
}
