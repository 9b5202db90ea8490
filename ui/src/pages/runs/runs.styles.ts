import { css } from 'lit';

export const styles = css`
  .c-run {
    width: 70px;
  }
  .c-status {
    width: 172px;
  }
  .c-progress {
    width: 15%;
  }
  .c-files,
  .c-size {
    width: 98px;
  }
  .c-started {
    width: 108px;
  }
  .c-took {
    width: 100px;
  }
  .bar {
    display: grid;
    grid-template-columns: 1fr 52px;
    align-items: center;
    gap: var(--space-2);
  }
  .bar span {
    font-size: var(--size-small);
    color: var(--text-dim);
    text-align: right;
    white-space: nowrap;
  }
  @media (max-width: 1100px) {
    .medium {
      display: none;
    }
  }
  @media (max-width: 720px) {
    .c-status {
      width: 150px;
    }
    .c-run {
      width: 62px;
    }
    .c-started {
      width: 96px;
    }
  }
`;
