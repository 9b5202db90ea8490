/** Looks that several elements share: controls, tables, panels. */
import { css } from 'lit';

export const base = css`
  :host {
    display: block;
  }
  :host([hidden]) {
    display: none;
  }
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }
  h1,
  h2,
  p {
    margin: 0;
  }
  h1 {
    font-size: var(--size-large);
    font-weight: 600;
    line-height: 1.3;
    letter-spacing: -0.01em;
  }
  h2 {
    font-size: var(--size);
    font-weight: 600;
  }
  a {
    color: var(--accent);
    text-decoration: none;
  }
  a:hover {
    text-decoration: underline;
  }
  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
    border-radius: 3px;
  }
  .dim {
    color: var(--text-dim);
  }
  .mono {
    font-family: var(--mono);
    font-size: var(--size-small);
  }
  .number {
    text-align: right;
    white-space: nowrap;
  }
  .cut {
    overflow: hidden;
    text-overflow: ellipsis;
    white-space: nowrap;
  }
`;

export const controls = css`
  button,
  .button {
    display: inline-flex;
    align-items: center;
    justify-content: center;
    gap: 6px;
    height: 30px;
    padding: 0 var(--space-3);
    border: 1px solid var(--line-strong);
    border-radius: var(--radius);
    background: var(--surface-raised);
    color: var(--text);
    font: 500 13px / 1 var(--font);
    cursor: pointer;
    white-space: nowrap;
  }
  button:hover:not(:disabled) {
    background: var(--hover);
  }
  a.button:hover {
    text-decoration: none;
  }
  button.primary,
  .button.primary {
    background: var(--accent);
    border-color: var(--accent);
    color: var(--on-accent);
  }
  button.primary:hover:not(:disabled),
  .button.primary:hover {
    background: var(--accent-strong);
    border-color: var(--accent-strong);
  }
  button.bad {
    color: var(--bad);
    border-color: var(--bad);
  }
  button.quiet {
    border-color: transparent;
    background: none;
  }
  button:disabled {
    opacity: 0.55;
    cursor: default;
  }
  label {
    display: block;
    font-weight: 500;
    font-size: 13px;
  }
  input {
    display: block;
    width: 100%;
    height: 36px;
    margin-top: var(--space-1);
    padding: 0 var(--space-3);
    border: 1px solid var(--line-strong);
    border-radius: var(--radius);
    background: var(--surface);
    color: var(--text);
    font: inherit;
  }
  input:focus-visible,
  select:focus-visible,
  textarea:focus-visible {
    outline-offset: 0;
    border-radius: var(--radius);
  }
  input[type='checkbox'] {
    display: inline-block;
    width: 16px;
    height: 16px;
    margin: 0;
    accent-color: var(--accent);
  }
  select,
  textarea {
    display: block;
    width: 100%;
    height: 36px;
    margin-top: var(--space-1);
    padding: 0 var(--space-2);
    border: 1px solid var(--line-strong);
    border-radius: var(--radius);
    background: var(--surface);
    color: var(--text);
    font: inherit;
  }
  textarea {
    height: auto;
    padding: var(--space-2) var(--space-3);
    font: 12.5px / 1.5 var(--mono);
    resize: vertical;
  }
  input:disabled,
  select:disabled {
    opacity: 0.6;
  }
`;

/** Forms: fields side by side where there is room, a word of help below each. */
export const forms = css`
  .fields {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 15rem), 1fr));
    gap: var(--space-4);
  }
  .fields .all {
    grid-column: 1 / -1;
  }
  .help {
    display: block;
    margin-top: var(--space-1);
    font-size: var(--size-small);
    font-weight: 400;
    color: var(--text-dim);
  }
  .check {
    display: flex;
    align-items: center;
    gap: var(--space-2);
  }
  /* The word behind a button that says that it worked. */
  .saved {
    align-self: center;
    color: var(--good);
  }
  .actions {
    display: flex;
    flex-wrap: wrap;
    gap: var(--space-2);
    margin-top: var(--space-4);
  }
`;

/** Parts of a page below each other, and facts with their names. */
export const parts = css`
  .parts {
    display: grid;
    grid-template-columns: minmax(0, 1fr);
    gap: var(--space-4);
  }
  .two {
    display: grid;
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
    gap: var(--space-4);
    align-items: start;
  }
  .panel > h2 {
    padding: var(--space-3) var(--space-4);
    border-bottom: 1px solid var(--line);
  }
  .inside {
    padding: var(--space-3) var(--space-4) var(--space-4);
  }
  .inside + .inside {
    padding-top: 0;
  }
  .crumb {
    margin-bottom: var(--space-1);
    font-size: var(--size-small);
    color: var(--text-dim);
  }
  .crumb a {
    text-decoration: underline;
    text-underline-offset: 2px;
  }
  dl.facts {
    display: grid;
    grid-template-columns: repeat(auto-fill, minmax(11rem, 1fr));
    gap: var(--space-3) var(--space-4);
    margin: 0;
  }
  dl.facts dt {
    font-size: var(--size-small);
    color: var(--text-dim);
  }
  dl.facts dd {
    margin: 0;
    overflow-wrap: anywhere;
  }
  .tag {
    display: inline-block;
    max-width: 100%;
    margin: 1px 4px 1px 0;
    padding: 0 7px;
    overflow: hidden;
    text-overflow: ellipsis;
    border-radius: 9px;
    background: var(--idle-ground);
    color: var(--text-dim);
    font-size: 12px;
    vertical-align: middle;
  }
`;

export const search = css`
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
`;

export const page = css`
  :host {
    padding: var(--space-5);
    max-width: 1400px;
  }
  .head {
    display: flex;
    align-items: center;
    gap: var(--space-3);
    flex-wrap: wrap;
    margin-bottom: var(--space-4);
    min-height: 30px;
  }
  .head h1 {
    flex: 0 1 auto;
    min-width: 0;
  }
  .grow {
    flex: 1;
  }
  .panel {
    background: var(--surface);
    border: 1px solid var(--line);
    border-radius: var(--radius-large);
    box-shadow: var(--shadow);
    overflow: hidden;
  }
  .more {
    display: flex;
    justify-content: center;
    padding: var(--space-3);
    border-top: 1px solid var(--line);
  }
  @media (max-width: 720px) {
    :host {
      padding: var(--space-4) var(--space-3);
    }
  }
`;

/** Narrow screens show the cells of class `wide` not at all and put `stack` on lines of their own. */
export const table = css`
  table {
    width: 100%;
    border-collapse: collapse;
    table-layout: fixed;
  }
  th {
    padding: 7px var(--space-4);
    border-bottom: 1px solid var(--line);
    color: var(--text-dim);
    font-size: 12px;
    font-weight: 500;
    text-align: left;
    white-space: nowrap;
  }
  th.number {
    text-align: right;
  }
  td {
    height: 42px;
    padding: 6px var(--space-4);
    border-bottom: 1px solid var(--line);
    vertical-align: middle;
    overflow: hidden;
    text-overflow: ellipsis;
  }
  tr:last-child td {
    border-bottom: 0;
  }
  tbody tr:hover {
    background: var(--hover);
  }
  td.number,
  th.number {
    text-overflow: clip;
  }
  td .under {
    display: block;
    font-size: var(--size-small);
    line-height: 1.35;
    color: var(--text-dim);
  }
  td a.name {
    color: var(--text);
    font-weight: 500;
  }
  td a.name:hover {
    color: var(--accent);
  }
  @media (max-width: 720px) {
    th,
    td {
      padding-left: var(--space-3);
      padding-right: var(--space-3);
    }
    .wide {
      display: none;
    }
  }
`;

/** An element that stands inside a page and not for one; its heading has room for a button. */
export const part = css`
  :host {
    max-width: none;
    padding: 0;
  }
  .panel > h2 {
    display: flex;
    align-items: center;
    justify-content: space-between;
    gap: var(--space-2);
  }
`;
