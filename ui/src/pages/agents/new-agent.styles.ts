import { css } from 'lit';

export const styles = css`
  p.help {
    margin: 0 0 var(--space-3);
  }
  ff-copy {
    margin: var(--space-2) 0;
  }
  .token {
    margin-top: var(--space-3);
  }
  .state {
    display: flex;
    align-items: center;
    gap: var(--space-2);
    margin-top: var(--space-3);
    color: var(--text-dim);
  }
  .state.good {
    color: var(--good);
    font-weight: 500;
  }
`;
