import { LitElement, html } from 'lit';
import { customElement } from 'lit/decorators.js';
import { describe, expect, it } from 'vitest';

import { Virtual, spanOf } from './virtual.js';

describe('spanOf', () => {
  it('shows a short list whole', () => {
    expect(spanOf(100, 40, 0, 800)).toEqual({ first: 0, last: 100, before: 0, after: 0 });
  });

  it('shows what is in sight and a little around it', () => {
    const span = spanOf(10_000, 40, 200_000, 800);
    expect(span.first).toBeLessThan(5_000);
    expect(span.last).toBeGreaterThan(5_020);
    expect(span.last - span.first).toBeLessThan(100);
  });

  it.each([-500, 0, 1, 39, 40, 199_999, 399_200, 1e9])('is as high as all of it at %i', top => {
    const { first, last, before, after } = spanOf(10_000, 40, top, 800);
    expect(before + after + (last - first) * 40).toBe(10_000 * 40);
    expect(first).toBeGreaterThanOrEqual(0);
    expect(last).toBeLessThanOrEqual(10_000);
    expect(last).toBeGreaterThan(first);
  });
});

@customElement('test-long-list')
class LongList extends LitElement {
  private readonly items = Array.from({ length: 5000 }, (_, id) => ({ id }));
  private readonly virtual = new Virtual(this, () => this.renderRoot.querySelector('tbody'));

  override render() {
    return html`<table>
      <tbody>
        ${this.virtual.rows(
          this.items,
          ({ id }, place) =>
            html`<tr data-row aria-rowindex=${place}>
              <td style="height: ${id % 7 ? 30 : 50}px">${id}</td>
            </tr>`,
        )}
      </tbody>
    </table>`;
  }
}

describe('Virtual', () => {
  it('shows the rows in sight, and the last one at the end, though rows are not equally high', async () => {
    const scroller = document.body.appendChild(document.createElement('div'));
    scroller.style.cssText = 'height: 400px; overflow: auto';
    const list = scroller.appendChild(new LongList());
    await list.updateComplete;
    const shown = () => [...list.renderRoot.querySelectorAll<HTMLElement>('[data-row]')];
    const inSight = (text: string) => {
      const row = shown()
        .find(one => one.textContent.trim() === text)
        ?.getBoundingClientRect();
      const { top, bottom } = scroller.getBoundingClientRect();
      return row !== undefined && row.bottom > top && row.top < bottom;
    };
    expect(shown().length).toBeLessThan(120);
    expect(inSight('0')).toBe(true);
    await expect
      .poll(() => {
        scroller.scrollTop = scroller.scrollHeight;
        return inSight('4999');
      })
      .toBe(true);
    expect(shown().length).toBeLessThan(120);
    scroller.scrollTop = 0;
    await expect.poll(() => inSight('0')).toBe(true);
    scroller.remove();
  });
});
