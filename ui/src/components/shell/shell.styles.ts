import { css } from 'lit';

export const styles = css`
  :host {
    display: grid;
    grid-template: 48px 1fr / 200px 1fr;
    height: 100vh;
    height: 100dvh;
  }
  .skip {
    position: absolute;
    left: -999px;
  }
  .skip:focus {
    left: var(--space-3);
    top: var(--space-3);
    z-index: 1;
    padding: var(--space-2);
    background: var(--surface);
  }
  nav {
    grid-row: 1 / 3;
    display: flex;
    flex-direction: column;
    gap: 2px;
    padding: var(--space-3);
    border-right: 1px solid var(--line);
    background: var(--surface);
  }
  .brand {
    display: flex;
    align-items: center;
    gap: var(--space-2);
    height: 32px;
    margin-bottom: var(--space-3);
    padding: 0 var(--space-2);
    font-weight: 650;
    letter-spacing: -0.01em;
    color: var(--text);
  }
  .brand img {
    width: 20px;
    height: 20px;
  }
  nav a {
    display: flex;
    align-items: center;
    gap: 10px;
    height: 32px;
    padding: 0 var(--space-2);
    border-radius: var(--radius);
    color: var(--text-dim);
    font-size: 13.5px;
    font-weight: 500;
  }
  nav a:hover {
    background: var(--hover);
    color: var(--text);
    text-decoration: none;
  }
  nav a[aria-current='page'] {
    background: var(--accent-ground);
    color: var(--accent);
  }
  nav .apart {
    margin-top: auto;
  }
  header {
    display: flex;
    align-items: center;
    gap: var(--space-3);
    padding: 0 var(--space-4) 0 var(--space-5);
    border-bottom: 1px solid var(--line);
    background: var(--surface);
    min-width: 0;
  }
  .who {
    display: flex;
    align-items: baseline;
    gap: var(--space-2);
    margin-left: auto;
    min-width: 0;
    font-size: 13px;
    color: var(--text);
  }
  .who .dim {
    font-size: 12px;
  }
  header button {
    width: 32px;
    height: 32px;
    padding: 0;
    color: var(--text-dim);
  }
  header button:hover:not(:disabled) {
    color: var(--text);
  }
  .brand.small {
    display: none;
    margin: 0;
    padding: 0;
  }
  main {
    overflow: auto;
    min-width: 0;
  }
  main:focus {
    outline: none;
  }
  @media (max-width: 720px) {
    :host {
      grid-template: 48px 1fr 54px / 1fr;
    }
    nav {
      grid-row: 3;
      flex-direction: row;
      justify-content: space-around;
      padding: var(--space-1) var(--space-2);
      border-right: 0;
      border-top: 1px solid var(--line);
    }
    nav .brand {
      display: none;
    }
    nav a {
      flex-direction: column;
      justify-content: center;
      gap: 2px;
      flex: 1;
      min-width: 0;
      padding: 0;
      height: 46px;
      font-size: 11px;
    }
    nav .rare {
      display: none;
    }
    header {
      padding: 0 var(--space-3);
      gap: var(--space-2);
    }
    .brand.small {
      display: flex;
    }
    .who .dim {
      display: none;
    }
  }
`;
