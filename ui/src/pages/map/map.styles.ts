import { css } from 'lit';

export const styles = css`
  .picture {
    padding: var(--space-3);
  }
  svg {
    display: block;
    width: 100%;
    max-height: 62vh;
  }
  .line {
    fill: none;
    stroke: var(--line-strong);
    stroke-linecap: round;
    opacity: 0.55;
  }
  .line.moves {
    stroke: var(--accent);
    stroke-dasharray: 10 8;
    opacity: 1;
    animation: flow 0.9s linear infinite;
  }
  @keyframes flow {
    to {
      stroke-dashoffset: -18;
    }
  }
  @media (prefers-reduced-motion: reduce) {
    .line.moves {
      animation: none;
    }
  }
  .hub {
    fill: var(--surface-raised);
    stroke: var(--accent);
    stroke-width: 2;
  }
  circle {
    fill: var(--accent);
  }
  .line.slow {
    stroke: var(--warn);
    opacity: 1;
  }
  .hub.slow {
    stroke: var(--warn);
    stroke-width: 4;
  }
  circle.slow {
    fill: none;
    stroke: var(--warn);
    stroke-width: 3;
  }
  .name {
    fill: var(--text);
    font: 600 14px var(--font);
  }
  .rate {
    fill: var(--text-dim);
    font: 12px var(--font);
  }
  .c-status {
    width: 280px;
  }
  td .narrow {
    display: none;
  }
  @media (max-width: 720px) {
    /* The list below says the same, and can be read. */
    svg {
      display: none;
    }
    .picture:has(svg) {
      display: none;
    }
    td .narrow {
      display: block;
    }
    .c-status {
      width: 130px;
    }
  }
`;
