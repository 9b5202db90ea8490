/** The parts that pages are made of, as a browser shows them and people use them. */
import { html, render } from 'lit';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { page, userEvent } from 'vitest/browser';

import './confirm/confirm.js';
import './copy/copy.js';
import './dialog/dialog.js';
import './progress/progress.js';
import './spark/spark.js';
import './tabs/tabs.js';

function show<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  template: unknown,
): HTMLElementTagNameMap[Tag] {
  const box = document.body.appendChild(document.createElement('div'));
  render(template, box);
  const element = box.querySelector(tag);
  if (!element) throw new Error(`no ${tag}`);
  return element;
}

afterEach(() => {
  document.body.replaceChildren();
});

describe('ff-progress', () => {
  it('is as wide as its value, and says it', async () => {
    const bar = show(
      'ff-progress',
      html`<ff-progress .value=${42.5} label="Run" style="width: 200px"></ff-progress>`,
    );
    await bar.updateComplete;
    await expect
      .element(page.getByRole('progressbar', { name: 'Run' }))
      .toHaveAttribute('aria-valuenow', '42');
    const done = bar.renderRoot.querySelector('.done');
    expect(done?.getBoundingClientRect().width).toBeCloseTo(85, 0);
  });
});

describe('ff-tabs', () => {
  it('tells what was chosen, by keyboard too', async () => {
    const chosen = vi.fn();
    const tabs = show(
      'ff-tabs',
      html`<ff-tabs
        .options=${{ all: 'All', bad: 'Failed' }}
        value="all"
        label="Which"
        @change=${chosen}
      ></ff-tabs>`,
    );
    await page.getByRole('button', { name: 'Failed' }).click();
    expect(tabs.value).toBe('bad');
    await userEvent.keyboard('{Shift>}{Tab}{/Shift}{Enter}');
    expect(tabs.value).toBe('all');
    expect(chosen).toHaveBeenCalledTimes(2);
    await expect.element(page.getByRole('button', { name: 'All' })).toHaveAttribute('aria-pressed', 'true');
  });
});

describe('ff-dialog', () => {
  it('is before everything else, and Escape closes it', async () => {
    const closed = vi.fn();
    const dialog = show(
      'ff-dialog',
      html`<button>behind</button
        ><ff-dialog heading="Sure?" @closed=${closed}><input aria-label="Name" /></ff-dialog>`,
    );
    dialog.show();
    await expect.element(page.getByRole('dialog', { name: 'Sure?' })).toBeVisible();
    // What is behind a modal dialog cannot be reached.
    const behind = document.querySelector('button')?.getBoundingClientRect();
    const at = document.elementFromPoint((behind?.left ?? 0) + 2, (behind?.top ?? 0) + 2);
    expect(at).toBe(dialog);
    await userEvent.keyboard('{Escape}');
    await expect.poll(() => closed.mock.calls.length).toBe(1);
  });
});

describe('ff-confirm', () => {
  it('does what was asked for after yes, and only then', async () => {
    const confirm = show('ff-confirm', html`<ff-confirm></ff-confirm>`);
    const then = vi.fn();
    const question = { heading: 'Delete it?', why: 'It is gone then.', yes: 'Delete', then };
    await confirm.updateComplete;
    confirm.ask(question);
    await page.getByRole('button', { name: 'Cancel' }).click();
    expect(then).not.toHaveBeenCalled();
    confirm.ask(question);
    await page.getByRole('button', { name: 'Delete' }).click();
    expect(then).toHaveBeenCalledOnce();
  });
});

describe('ff-copy', () => {
  it('selects the text where there is no clipboard', async () => {
    vi.spyOn(navigator.clipboard, 'writeText').mockRejectedValue(new Error('not here'));
    const copy = show('ff-copy', html`<ff-copy .text=${'fileflux job list'}></ff-copy>`);
    await copy.updateComplete;
    await page.getByRole('button', { name: 'Copy' }).click();
    await expect.poll(() => getSelection()?.toString()).toBe('fileflux job list');
  });
});

describe('ff-spark', () => {
  it('draws a line inside its box', async () => {
    const spark = show('ff-spark', html`<ff-spark .values=${[1, 5, 2]} label="Rate"></ff-spark>`);
    await spark.updateComplete;
    const path = spark.renderRoot.querySelector('path')?.getBoundingClientRect();
    const box = spark.getBoundingClientRect();
    expect(path?.width).toBeCloseTo(box.width, -1);
    expect(path?.top).toBeGreaterThanOrEqual(box.top);
  });
});
