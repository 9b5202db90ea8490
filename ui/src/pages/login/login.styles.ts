import { css } from 'lit';

export const styles = css`
  :host {
    display: grid;
    place-items: start center;
    min-height: 100vh;
    padding: 16vh var(--space-4) var(--space-6);
  }
  form {
    display: grid;
    gap: var(--space-4);
    width: 100%;
    max-width: 340px;
    padding: var(--space-6);
    border: 1px solid var(--line);
    border-radius: var(--radius-large);
    background: var(--surface);
    box-shadow: var(--shadow);
  }
  .brand {
    display: flex;
    align-items: center;
    gap: 10px;
    margin-bottom: var(--space-2);
  }
  .brand img {
    width: 28px;
    height: 28px;
  }
  button {
    height: 36px;
    margin-top: var(--space-1);
  }
  ff-notice {
    margin-bottom: calc(-1 * var(--space-3));
  }
`;
