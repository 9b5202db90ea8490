import { css } from 'lit';

export const styles = css`
  .c-name {
    width: 30%;
  }
  .c-last {
    width: 210px;
  }
  .c-run {
    width: 104px;
  }
  .last {
    display: flex;
    align-items: center;
    gap: var(--space-2);
    color: inherit;
  }
  .last .dim {
    font-size: var(--size-small);
  }
  code {
    display: inline-block;
    margin-top: var(--space-2);
    padding: 3px 8px;
    border-radius: 4px;
    background: var(--idle-ground);
    font-family: var(--mono);
    font-size: var(--size-small);
    color: var(--text);
  }
  .off {
    color: var(--text-dim);
  }
  .narrow,
  td .narrow {
    display: none;
  }
  @media (max-width: 1000px) {
    .last .dim {
      display: none;
    }
    .c-last {
      width: 170px;
    }
  }
  @media (max-width: 720px) {
    td .narrow {
      display: block;
      margin-top: var(--space-1);
    }
    .narrow .last .dim {
      display: inline;
    }
    .c-name {
      width: auto;
    }
    .c-run {
      width: 98px;
    }
  }
`;
