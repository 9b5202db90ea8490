import { css } from 'lit';

export const styles = css`
  .c-status {
    width: 112px;
  }
  .c-transport {
    width: 26%;
  }
  .c-seen {
    width: 180px;
  }
  .c-tags {
    width: 22%;
  }
  .tag {
    display: inline-block;
    max-width: calc(100% - 4px);
    margin: 1px 4px 1px 0;
    padding: 0 7px;
    border: 1px solid var(--line);
    border-radius: 10px;
    font-size: 12px;
    line-height: 19px;
    color: var(--text-dim);
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
    vertical-align: middle;
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
  td .under.narrow {
    display: none;
  }
  @media (max-width: 720px) {
    .c-status {
      width: 100px;
    }
    .c-seen {
      width: 106px;
    }
    td .under.narrow {
      display: block;
    }
  }
`;
