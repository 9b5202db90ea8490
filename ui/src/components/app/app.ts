import { LitElement, css, html, type TemplateResult } from 'lit';
import { customElement, state } from 'lit/decorators.js';

import { Problem, readable } from '../../api/problem.js';
import { Hub } from '../../data/hub.js';
import { focusSearch, listenToKeys } from '../../data/keys.js';
import { HOME, Router } from '../../data/router.js';
import { Watch } from '../../data/store.js';
import { texts } from '../../texts.js';
import '../../pages/agent/agent.js';
import '../../pages/agents/agents.js';
import '../../pages/audit/audit.js';
import '../../pages/dashboard/dashboard.js';
import '../../pages/job/job.js';
import '../../pages/job-edit/job-edit.js';
import '../../pages/jobs/jobs.js';
import '../../pages/login/login.js';
import '../../pages/run/run.js';
import '../../pages/map/map.js';
import '../../pages/notifications/notifications.js';
import '../../pages/profile/profile.js';
import '../../pages/runs/runs.js';
import '../../pages/schedules/schedules.js';
import '../../pages/settings/settings.js';
import '../../pages/transfers/transfers.js';
import '../../pages/users/users.js';
import '../help/help.js';
import '../notice/notice.js';
import '../shell/shell.js';

const AGAIN_MS = 3000;
/** Where in the navigation a page belongs that has no item of its own. */
const NAVIGATION: Readonly<Record<string, string>> = {
  run: 'runs',
  job: 'jobs',
  edit: 'jobs',
  agent: 'agents',
};

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
  private stopKeys: (() => void) | undefined;

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
        .current=${NAVIGATION[place.page] ?? place.page}
        @logout=${this.leave}
        >${this.page()}</ff-shell
      ><ff-help></ff-help>`;
  }

  override connectedCallback(): void {
    super.connectedCallback();
    this.stopKeys = listenToKeys({
      help: () => this.renderRoot.querySelector('ff-help')?.show(),
      search: () => focusSearch(this.renderRoot),
    });
  }

  override disconnectedCallback(): void {
    super.disconnectedCallback();
    this.stopKeys?.();
  }

  private page(): TemplateResult {
    const { hub } = this;
    const { place } = this.router;
    switch (place.page) {
      case 'dashboard':
        return html`<ff-dashboard .hub=${hub}></ff-dashboard>`;
      case 'map':
        return html`<ff-map .hub=${hub}></ff-map>`;
      case 'agents':
        return html`<ff-agents .hub=${hub}></ff-agents>`;
      case 'agent':
        return html`<ff-agent .hub=${hub} .agentId=${place.id}></ff-agent>`;
      case 'jobs':
        return html`<ff-jobs .hub=${hub}></ff-jobs>`;
      case 'job':
        return html`<ff-job .hub=${hub} .jobId=${place.id}></ff-job>`;
      case 'edit':
        return html`<ff-job-edit .hub=${hub} .jobId=${place.id} .likeId=${place.from}></ff-job-edit>`;
      case 'runs':
        return html`<ff-runs .hub=${hub} .filter=${place.query.get('show') ?? 'all'}></ff-runs>`;
      case 'run':
        return html`<ff-run .hub=${hub} .runId=${place.id}></ff-run>`;
      case 'transfers':
        return html`<ff-transfers .hub=${hub} .filter=${place.query.get('show') ?? 'all'}></ff-transfers>`;
      case 'schedules':
        return html`<ff-schedules .hub=${hub}></ff-schedules>`;
      case 'audit':
        return html`<ff-audit .hub=${hub}></ff-audit>`;
      case 'users':
        return html`<ff-users .hub=${hub}></ff-users>`;
      case 'notifications':
        return html`<ff-notifications .hub=${hub}></ff-notifications>`;
      case 'settings':
        return html`<ff-settings .hub=${hub}></ff-settings>`;
      case 'profile':
        return html`<ff-profile .hub=${hub}></ff-profile>`;
      case 'nowhere':
        return html`<ff-notice heading=${texts.common.notFound}
          ><a href=${HOME}>${texts.shell.dashboard}</a></ff-notice
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
