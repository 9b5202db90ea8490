import { LitElement, html, nothing } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';

import type { BrowseItem } from '../../api/types.js';
import { Action } from '../../data/action.js';
import { bytes } from '../../data/format.js';
import type { Hub } from '../../data/hub.js';
import { base, controls } from '../../styles/shared.js';
import { texts } from '../../texts.js';
import '../dialog/dialog.js';
import type { FfDialog } from '../dialog/dialog.js';
import { icon } from '../icon/icon.js';
import '../notice/notice.js';
import { styles } from './browser.styles.js';

const words = texts.browser;
const PAGE = 200;

/**
 * What stands on an agent's disks, folder by folder and page by page. Open it with `open`.
 *
 * @event take - a path was chosen; it is in `path`
 */
@customElement('ff-browser')
export class FfBrowser extends LitElement {
  static override styles = [base, controls, styles];

  @property({ attribute: false }) hub!: Hub;
  /** Whether files can be taken too. */
  @property({ type: Boolean }) files = false;
  /** Without it there is only looking. */
  @property({ type: Boolean }) choosing = false;

  /** What was taken. */
  path = '';

  @state() private agent: { id: number; name: string } | undefined;
  @state() private place = '';
  @state() private parent: string | null = null;
  @state() private items: readonly BrowseItem[] = [];
  @state() private following: string | null = null;
  @state() private loaded = false;

  @query('ff-dialog') private readonly dialog!: FfDialog;
  private readonly action = new Action(this);

  /** `path` that is not there leads to the roots. */
  open(agent: { id: number; name: string }, path: string): void {
    this.agent = agent;
    this.dialog.show();
    void this.go(path).then(there => (there || path === '' ? undefined : this.go('')));
  }

  override render() {
    return html`<ff-dialog heading=${words.title(this.agent?.name ?? '')} wide cancel=${texts.common.close}>
      <div class="place">
        <button class="quiet" ?disabled=${this.parent === null || this.action.busy} @click=${this.up}>
          ${words.up}
        </button>
        <code class="cut" title=${this.place}>${this.place || words.roots}</code>
      </div>
      ${this.action.problem ? html`<ff-notice kind="error" heading=${this.action.problem}></ff-notice>` : nothing}
      ${this.list()}
      ${
        this.choosing && this.place
          ? html`<button
              slot="buttons"
              class="primary"
              @click=${() => {
                this.take(this.place);
              }}
            >
              ${words.take}
            </button>`
          : nothing
      }
    </ff-dialog>`;
  }

  private list() {
    if (!this.loaded) return html`<ff-notice kind="loading"></ff-notice>`;
    if (this.items.length === 0) {
      return html`<ff-notice heading=${this.place ? words.empty : words.none}></ff-notice>`;
    }
    return html`<ul>
      ${this.items.map(item => this.item(item))}
      ${
        this.following
          ? html`<li>
              <button class="quiet" ?disabled=${this.action.busy} @click=${this.more}>${words.more}</button>
            </li>`
          : nothing
      }
    </ul>`;
  }

  private item(item: BrowseItem) {
    const isFolder = item.kind === 'directory';
    const rights = [item.read ? words.read : '', item.write ? words.write : ''].filter(Boolean).join(', ');
    return html`<li>
      ${
        isFolder
          ? html`<button class="name" ?disabled=${!item.exact} @click=${() => this.go(this.below(item))}>
              ${icon('folder')}<span class="cut">${item.name}</span>
            </button>`
          : html`<span class="name">${icon('file')}<span class="cut">${item.name}</span></span>`
      }
      <span class="dim">${isFolder ? rights : bytes(item.size)}</span>
      ${
        this.choosing && this.files && item.kind === 'file' && item.exact
          ? html`<button
              @click=${() => {
                this.take(this.below(item));
              }}
            >
              ${words.takeFile}
            </button>`
          : nothing
      }
    </li>`;
  }

  private below(item: BrowseItem): string {
    if (!this.place) return item.name;
    const separator = this.place.includes('\\') ? '\\' : '/';
    return this.place.endsWith(separator) ? this.place + item.name : this.place + separator + item.name;
  }

  private up(): void {
    if (this.parent !== null) void this.go(this.parent);
  }

  private go(path: string): Promise<boolean> {
    return this.read(path, null);
  }

  private async more(): Promise<void> {
    await this.read(this.place, this.following);
  }

  private read(path: string, cursor: string | null): Promise<boolean> {
    return this.action.run(async () => {
      if (!this.agent) return;
      const found = await this.hub.client.get('/api/agents/{agent_id}/browse', {
        id: this.agent.id,
        query: { path, limit: PAGE, cursor },
      });
      this.items = cursor === null ? found.items : [...this.items, ...found.items];
      this.place = found.path;
      this.parent = found.parent;
      this.following = found.next_cursor;
      this.loaded = true;
    });
  }

  private take(path: string): void {
    this.path = path;
    this.dialog.close();
    this.dispatchEvent(new Event('take'));
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-browser': FfBrowser;
  }
}
