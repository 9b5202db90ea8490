import { css } from 'lit';

export const styles = css`
  .about {
    margin-bottom: var(--space-3);
    overflow-wrap: anywhere;
  }
  .tested {
    display: flex;
    align-items: center;
    gap: var(--space-2);
    margin-top: var(--space-3);
    color: var(--good);
  }
  ul {
    margin: 0;
    padding: 0;
    list-style: none;
  }
  li {
    display: flex;
    align-items: baseline;
    justify-content: space-between;
    gap: var(--space-4);
    padding: 9px var(--space-4);
    border-bottom: 1px solid var(--line);
  }
  .root {
    display: grid;
    grid-template-columns: minmax(0, 2fr) 6rem minmax(0, 3fr);
    align-items: center;
  }
  .disk {
    display: grid;
    grid-template-columns: minmax(3rem, 1fr) auto;
    align-items: center;
    gap: var(--space-3);
    font-size: var(--size-small);
    color: var(--text-dim);
  }
  @media (max-width: 720px) {
    .root {
      grid-template-columns: minmax(0, 1fr) auto;
    }
    .disk {
      grid-column: 1 / -1;
    }
  }
  li:last-child {
    border-bottom: 0;
  }
  li a {
    flex: none;
    max-width: 50%;
    color: var(--text);
    font-weight: 500;
  }
  code {
    min-width: 0;
    color: var(--text-dim);
    font: 12px / 1.5 var(--mono);
  }
`;
