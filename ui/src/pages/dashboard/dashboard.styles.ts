import { css } from 'lit';

export const styles = css`
  .numbers {
    display: grid;
    grid-template-columns: repeat(auto-fill, minmax(min(100%, 10rem), 1fr));
    gap: var(--space-3);
  }
  ul,
  ol {
    margin: 0;
    padding: 0;
    list-style: none;
  }
  li {
    padding: 9px var(--space-4);
    border-bottom: 1px solid var(--line);
  }
  li:last-child {
    border-bottom: 0;
  }
  .row {
    display: flex;
    align-items: baseline;
    gap: var(--space-3);
    color: var(--text);
  }
  .row .name {
    flex: 1;
    min-width: 0;
    font-weight: 500;
  }
  .row:hover .name {
    color: var(--accent);
  }
  .row .dim,
  .row .bad,
  .row .share {
    flex: none;
    font-size: var(--size-small);
  }
  .row .bad {
    color: var(--bad);
  }
  .row .share {
    min-width: 48px;
    text-align: right;
  }
  ff-progress {
    margin-top: 6px;
    --bar-height: 4px;
  }
  .under {
    display: block;
    font-size: var(--size-small);
    color: var(--text-dim);
  }
  .alert {
    display: flex;
    align-items: flex-start;
    justify-content: space-between;
    gap: var(--space-3);
    font-size: 13px;
    overflow-wrap: anywhere;
  }
  .welcome ol {
    counter-reset: step;
  }
  .welcome li {
    position: relative;
    padding-left: 52px;
    counter-increment: step;
  }
  .welcome li::before {
    content: counter(step);
    position: absolute;
    left: var(--space-4);
    top: 12px;
    width: 24px;
    height: 24px;
    border-radius: 50%;
    background: var(--accent-ground);
    color: var(--accent);
    font-weight: 600;
    line-height: 24px;
    text-align: center;
  }
  .welcome .button {
    margin-top: var(--space-2);
  }
  .welcome .done strong {
    color: var(--text-dim);
    font-weight: 500;
  }
  .welcome .did {
    display: inline-flex;
    align-items: center;
    gap: 3px;
    color: var(--good);
  }
`;
