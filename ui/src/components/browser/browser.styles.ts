import { css } from 'lit';

export const styles = css`
  .place {
    display: flex;
    align-items: center;
    gap: var(--space-2);
    margin-bottom: var(--space-2);
  }
  code {
    flex: 1;
    min-width: 0;
    font: 12.5px / 1.5 var(--mono);
  }
  ul {
    height: min(24rem, 50dvh);
    margin: 0;
    padding: 0;
    overflow: auto;
    list-style: none;
    border: 1px solid var(--line);
    border-radius: var(--radius);
  }
  li {
    display: flex;
    align-items: center;
    gap: var(--space-3);
    min-height: 36px;
    padding: 2px var(--space-3);
    border-bottom: 1px solid var(--line);
    font-size: 13px;
  }
  .name {
    flex: 1;
    display: flex;
    align-items: center;
    justify-content: flex-start;
    gap: var(--space-2);
    min-width: 0;
    padding: 0;
    border: 0;
    background: none;
    font: inherit;
    text-align: left;
  }
  .name svg {
    flex: none;
    color: var(--text-dim);
  }
  button.name:hover:not(:disabled) {
    background: none;
    color: var(--accent);
  }
  .dim {
    flex: none;
    font-size: var(--size-small);
  }
`;
