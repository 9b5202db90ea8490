import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';

import { focusSearch, listenToKeys } from './keys.js';

let stop: () => void;
const doing = { help: vi.fn(), search: vi.fn(() => true) };

function press(key: string, target: EventTarget = document.body, more: KeyboardEventInit = {}): void {
  target.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, composed: true, ...more }));
}

beforeEach(() => {
  document.body.innerHTML = '<input id="field" />';
  location.hash = '#/runs';
  vi.clearAllMocks();
  stop = listenToKeys(doing);
});
afterEach(() => {
  stop();
});

describe('keys', () => {
  it('go to a page after g', () => {
    press('g');
    press('j');
    expect(location.hash).toBe('#/jobs');
    press('a');
    expect(location.hash).toBe('#/jobs');
  });

  it('ask and search', () => {
    press('?');
    press('/');
    expect(doing.help).toHaveBeenCalledOnce();
    expect(doing.search).toHaveBeenCalledOnce();
  });

  it('mean nothing while somebody types, or with a modifier', () => {
    const field = document.querySelector('#field') as HTMLInputElement;
    for (const key of ['g', 'j', '?', '/']) press(key, field);
    press('?', document.body, { ctrlKey: true });
    expect(location.hash).toBe('#/runs');
    expect(doing.help).not.toHaveBeenCalled();
    expect(doing.search).not.toHaveBeenCalled();
  });

  it('are let go', () => {
    stop();
    press('?');
    expect(doing.help).not.toHaveBeenCalled();
  });
});

it('finds the search inside of elements', () => {
  document.body.innerHTML = '<div id="outer"></div>';
  const outer = document.querySelector('#outer') as HTMLElement;
  expect(focusSearch(document)).toBe(false);
  outer.attachShadow({ mode: 'open' }).innerHTML = '<p><input type="search" /></p>';
  expect(focusSearch(document)).toBe(true);
});
