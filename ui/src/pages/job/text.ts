import { LitElement, html } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';

import type { Job } from '../../api/types.js';
import '../../components/copy/copy.js';
import '../../components/tabs/tabs.js';
import type { FfTabs } from '../../components/tabs/tabs.js';
import { commandOf, yamlOf } from '../../data/job_text.js';
import { base, page, part, parts } from '../../styles/shared.js';
import { texts } from '../../texts.js';

const words = texts.job;

/** The job as a command and as a file, to be kept or made again elsewhere. */
@customElement('ff-job-text')
export class FfJobText extends LitElement {
  static override styles = [base, page, parts, part];

  @property({ attribute: false }) job!: Job;
  /** The names of its agents. */
  @property() source = '';
  @property() destination = '';

  @state() private as: 'cli' | 'yaml' = 'cli';

  override render() {
    const nameOf = (id: number) => (id === this.job.source_agent_id ? this.source : this.destination);
    const text = this.as === 'cli' ? commandOf(this.job, nameOf) : yamlOf(this.job, nameOf);
    return html`<section class="panel">
      <h2>
        ${words.as}
        <ff-tabs
          .options=${{ cli: words.asCli, yaml: words.asYaml }}
          .value=${this.as}
          .label=${words.as}
          @change=${this.choose}
        ></ff-tabs>
      </h2>
      <div class="inside"><ff-copy .text=${text}></ff-copy></div>
    </section>`;
  }

  private choose(event: Event): void {
    this.as = (event.target as FfTabs).value as 'cli' | 'yaml';
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-job-text': FfJobText;
  }
}
