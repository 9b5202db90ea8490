import { css } from 'lit';

export const styles = css`
  .fields.wide {
    grid-template-columns: repeat(auto-fit, minmax(min(100%, 24rem), 1fr));
  }
  .end {
    display: grid;
    gap: var(--space-3);
    align-content: start;
  }
  .with {
    display: flex;
    gap: var(--space-2);
  }
  .with input {
    flex: 1;
    min-width: 0;
    font: 13px / 1 var(--mono);
  }
  .with button {
    flex: none;
    width: 38px;
    height: 36px;
    margin-top: var(--space-1);
    padding: 0;
  }
  .boxes {
    display: grid;
    align-content: center;
    gap: var(--space-2);
  }
  .more-fields summary {
    padding: var(--space-3) var(--space-4);
    font-weight: 600;
    cursor: pointer;
  }
  .more-fields[open] summary {
    border-bottom: 1px solid var(--line);
  }
  .more-fields h3 {
    margin: var(--space-4) 0 var(--space-2);
    font-size: 13px;
    font-weight: 600;
    color: var(--text-dim);
  }
  .more-fields h3:first-child {
    margin-top: 0;
  }
  .end.actions {
    display: flex;
    justify-content: flex-end;
    margin: 0;
  }
  form:has([name='source_agent_id']) .fields {
    align-items: start;
  }
`;
