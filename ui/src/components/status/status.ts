import { LitElement, css, html } from 'lit';
import { customElement, property } from 'lit/decorators.js';

import type { AgentStatus, RunStatus, TransferStatus } from '../../api/types.js';

export type Tone = 'good' | 'bad' | 'warn' | 'busy' | 'idle';

const TONES: Record<RunStatus | TransferStatus | AgentStatus, Tone> = {
  queued: 'idle',
  waiting_agent: 'warn',
  planning: 'busy',
  transferring: 'busy',
  verifying: 'busy',
  paused: 'warn',
  succeeded: 'good',
  partial: 'warn',
  failed: 'bad',
  cancelled: 'idle',
  pending: 'idle',
  waiting: 'warn',
  completed: 'good',
  skipped: 'idle',
  new: 'idle',
  online: 'good',
  offline: 'bad',
  revoked: 'idle',
};

export function toneOf(status: RunStatus | TransferStatus | AgentStatus): Tone {
  return TONES[status];
}

/**
 * A status as a coloured word; the colour says nothing that the word does not.
 *
 * @slot - the word
 */
@customElement('ff-status')
export class FfStatus extends LitElement {
  static override styles = css`
    :host {
      display: inline-flex;
      align-items: center;
      gap: 6px;
      max-width: 100%;
      height: 22px;
      padding: 0 8px;
      border-radius: 11px;
      font-size: 12px;
      font-weight: 500;
      white-space: nowrap;
      background: var(--idle-ground);
      color: var(--text-dim);
    }
    :host([tone='good']) {
      background: var(--good-ground);
      color: var(--good);
    }
    :host([tone='bad']) {
      background: var(--bad-ground);
      color: var(--bad);
    }
    :host([tone='warn']) {
      background: var(--warn-ground);
      color: var(--warn);
    }
    :host([tone='busy']) {
      background: var(--busy-ground);
      color: var(--busy);
    }
    .dot {
      flex: none;
      width: 6px;
      height: 6px;
      border-radius: 50%;
      background: currentColor;
    }
    :host([tone='busy']) .dot {
      animation: beat 1.4s ease-in-out infinite;
    }
    @keyframes beat {
      50% {
        opacity: 0.25;
      }
    }
    @media (prefers-reduced-motion: reduce) {
      .dot {
        animation: none !important;
      }
    }
  `;

  @property({ reflect: true }) tone: Tone = 'idle';

  override render() {
    return html`<span class="dot"></span><slot></slot>`;
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'ff-status': FfStatus;
  }
}
