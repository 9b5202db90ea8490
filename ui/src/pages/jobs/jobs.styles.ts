import { css } from 'lit';

export const styles = css`
  .c-mark {
    width: 44px;
    padding-right: 0;
  }
  .name + .tag {
    margin-left: var(--space-2);
  }
  .bar {
    display: flex;
    align-items: center;
    flex-wrap: wrap;
    gap: var(--space-2);
    padding: var(--space-2) var(--space-4);
    border-bottom: 1px solid var(--line);
    background: var(--accent-ground);
  }
  .bar strong {
    margin-right: var(--space-2);
    font-size: 13px;
  }
  .tags {
    width: auto;
    max-width: 12rem;
    height: 30px;
    margin: 0;
    font-size: 13px;
  }
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
