import type { ReactiveControllerHost } from 'lit';
import { describe, expect, it, vi } from 'vitest';

import { Problem } from '../api/problem.js';
import { texts } from '../texts.js';
import { Action } from './action.js';

const host = () =>
  ({
    addController: () => undefined,
    requestUpdate: vi.fn(),
  }) as unknown as ReactiveControllerHost;

describe('Action', () => {
  it('does one thing at a time', async () => {
    const action = new Action(host());
    let finish: () => void = () => undefined;
    const first = action.run(() => new Promise<void>(resolve => (finish = resolve)));
    expect(action.busy).toBe(true);
    const second = vi.fn();
    expect(await action.run(second)).toBe(false);
    expect(second).not.toHaveBeenCalled();
    finish();
    expect(await first).toBe(true);
    expect(action.busy).toBe(false);
  });

  it('says why it did not work, until the next try', async () => {
    const action = new Action(host());
    expect(await action.run(() => Promise.reject(new Problem('No.', 409, 'conflict')))).toBe(false);
    expect(action.problem).toBe('No.');
    await action.run(() => Promise.reject(new TypeError('a mistake')));
    expect(action.problem).toBe(texts.problem.inside);
    expect(action.done).toBe(false);
    await action.run(() => Promise.resolve());
    expect(action.problem).toBe('');
    expect(action.done).toBe(true);
  });
});
