import { css } from 'lit';

export const styles = css`
  .crumb {
    display: flex;
    align-items: center;
    gap: var(--space-2);
    margin-bottom: var(--space-1);
    font-size: 13px;
    color: var(--text-dim);
  }
  .crumb a {
    text-decoration: underline;
    text-underline-offset: 2px;
  }
  .plain {
    color: inherit;
  }
  .title {
    min-width: 0;
    flex: 1 1 200px;
  }
  .route {
    margin-bottom: var(--space-3);
    padding-bottom: var(--space-3);
    border-bottom: 1px solid var(--line);
  }
  .summary {
    padding: var(--space-4);
    margin-bottom: var(--space-5);
  }
  .line {
    display: flex;
    align-items: center;
    gap: var(--space-3);
    margin-bottom: var(--space-3);
  }
  .line strong {
    font-size: 15px;
    font-weight: 600;
    min-width: 0;
    overflow-wrap: anywhere;
  }
  .line .percent {
    margin-left: auto;
    font-size: 15px;
    font-weight: 600;
    white-space: nowrap;
  }
  .line.good strong {
    display: flex;
    align-items: center;
    gap: 6px;
    color: var(--good);
  }
  .line.bad strong {
    color: var(--bad);
  }
  .line.warn strong {
    color: var(--warn);
  }
  .reason {
    margin: calc(-1 * var(--space-2)) 0 var(--space-3);
    font-size: 13px;
    color: var(--text-dim);
    overflow-wrap: anywhere;
  }
  .phases {
    display: flex;
    flex-wrap: wrap;
    gap: var(--space-1) 0;
    margin: 0 0 var(--space-3);
    padding: 0;
    list-style: none;
    font-size: var(--size-small);
    color: var(--text-dim);
  }
  .phases li:not(:last-child)::after {
    content: '→';
    margin: 0 var(--space-2);
    color: var(--text-dim);
  }
  .phases .now {
    color: var(--accent);
    font-weight: 600;
  }
  .phases .done {
    color: var(--text);
  }
  .reasons {
    width: auto;
    max-width: 12rem;
    height: 30px;
    margin: 0;
    font-size: 13px;
  }
  ff-progress {
    --bar-height: 8px;
  }
  dl {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(124px, auto));
    gap: var(--space-3) var(--space-4);
    margin: var(--space-4) 0 0;
  }
  dt {
    font-size: 12px;
    color: var(--text-dim);
  }
  dd {
    margin: 0;
    font-size: 13.5px;
    overflow-wrap: anywhere;
  }
  dd .dim {
    font-size: var(--size-small);
  }
  .sure {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: var(--space-2) var(--space-3);
    font-size: 13px;
  }
  .c-status {
    width: 140px;
  }
  .c-progress {
    width: 24%;
  }
  .c-size {
    width: 100px;
  }
  .bar {
    display: grid;
    grid-template-columns: 1fr 52px;
    align-items: center;
    gap: var(--space-2);
  }
  .bar ff-progress {
    --bar-height: 5px;
  }
  .bar span {
    font-size: var(--size-small);
    color: var(--text-dim);
    text-align: right;
    white-space: nowrap;
  }
  td .file {
    display: block;
    max-width: 100%;
    height: auto;
    padding: 0;
    border: 0;
    background: none;
    color: var(--text);
    font: 12.5px / 1.5 var(--mono);
    text-align: left;
  }
  td .file span {
    display: block;
  }
  td .file:hover:not(:disabled) {
    background: none;
    color: var(--accent);
  }
  @media (max-width: 720px) {
    .c-status {
      width: 130px;
    }
    .c-size {
      width: 88px;
    }
  }
`;
