import { css } from 'lit';

export const styles = css`
  .state {
    display: flex;
    flex-wrap: wrap;
    align-items: center;
    gap: var(--space-3);
    margin-bottom: var(--space-3);
    overflow-wrap: anywhere;
  }
  .state button {
    margin-left: auto;
  }
  .hash {
    margin-top: var(--space-3);
    font: 12px / 1.5 var(--mono);
    overflow-wrap: anywhere;
  }
  .map {
    display: grid;
    grid-template-columns: repeat(auto-fill, 10px);
    gap: 2px;
    max-height: 12rem;
    margin-top: var(--space-4);
    overflow: auto;
  }
  i {
    display: inline-block;
    width: 10px;
    height: 10px;
    border-radius: 2px;
    background: var(--idle-ground);
  }
  i.in_flight {
    background: var(--busy);
  }
  i.acked,
  i.done {
    background: var(--good);
  }
  i.acked {
    opacity: 0.6;
  }
  .legend {
    display: flex;
    flex-wrap: wrap;
    gap: var(--space-1) var(--space-4);
    margin-top: var(--space-2);
    font-size: var(--size-small);
    color: var(--text-dim);
  }
  .legend span {
    display: inline-flex;
    align-items: center;
    gap: 6px;
  }
`;
