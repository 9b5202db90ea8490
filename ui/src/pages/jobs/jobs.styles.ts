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
  .search {
    position: relative;
  }
  .search svg {
    position: absolute;
    left: 9px;
    top: 8px;
    color: var(--text-dim);
  }
  .search input {
    width: 15rem;
    max-width: 46vw;
    height: 30px;
    margin: 0;
    padding-left: 28px;
    font-size: 13px;
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
