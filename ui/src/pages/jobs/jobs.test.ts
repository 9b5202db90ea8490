/** The page of the jobs before a hub that answers from a script. */
import { html, render } from 'lit';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { page } from 'vitest/browser';

import { FakeHub, json, problem } from '../../api/fake_hub.js';
import { Hub } from '../../data/hub.js';
import './jobs.js';

const job = (id: number, name: string, tags: string[]) => ({
  id,
  name,
  tags,
  enabled: true,
  description: '',
  source_agent_id: 1,
  destination_agent_id: 2,
  source_path: `/data/${name}`,
  destination_path: '/in',
});
const list = (items: unknown[]) => json({ items, next_cursor: null });

let answers: FakeHub;

beforeEach(async () => {
  answers = new FakeHub();
  answers.on('GET /api/jobs', () =>
    list([job(1, 'invoices', ['nightly']), job(2, 'pictures', ['big', 'nightly']), job(3, 'logs', [])]),
  );
  answers.on('GET /api/runs', () => list([]));
  answers.on('GET /api/agents', () => list([]));
  for (const id of [1, 2]) answers.on(`GET /api/agents/${id}`, () => json({ id, name: `agent-${id}` }));
  const hub = new Hub();
  await hub.session.login('me@example.org', 'secret');
  const box = document.body.appendChild(document.createElement('div'));
  render(html`<ff-jobs .hub=${hub}></ff-jobs>`, box);
  await expect.element(page.getByRole('row')).toHaveLength(4);
});

afterEach(() => {
  document.body.replaceChildren();
  vi.unstubAllGlobals();
});

it('finds by words in any field, and by tag', async () => {
  await page.getByLabelText('Search').fill('data pict');
  await expect.element(page.getByRole('row')).toHaveLength(2);
  await expect.element(page.getByRole('link', { name: 'pictures' })).toBeVisible();
  await page.getByLabelText('Search').fill('');
  await page.getByRole('combobox', { name: 'Tag' }).selectOptions('nightly');
  await expect.element(page.getByRole('row')).toHaveLength(3);
  await page.getByLabelText('Search').fill('nothing has this');
  await expect.element(page.getByText('No such job')).toBeVisible();
});

it('does the same to all that are marked, and says what did not work', async () => {
  answers.on('POST /api/jobs/1/disable', () => problem(409, 'job_busy'));
  answers.on('POST /api/jobs/2/disable', () => json(job(2, 'pictures', [])));
  await page.getByLabelText('Choose the job invoices').click();
  await page.getByLabelText('Choose the job pictures').click();
  await page.getByRole('button', { name: 'Disable' }).click();
  await expect.element(page.getByText('1 of 2 did not work, the first: it is job_busy')).toBeVisible();
  expect(answers.count('/api/jobs/1/disable') + answers.count('/api/jobs/2/disable')).toBe(2);
});

it('acts only on what is shown', async () => {
  answers.on('POST /api/jobs/3/disable', () => json(job(3, 'logs', [])));
  await page.getByLabelText('Choose all that are shown').click();
  await page.getByLabelText('Search').fill('logs');
  await expect.element(page.getByRole('toolbar', { name: '1 chosen' })).toBeVisible();
  await page.getByRole('button', { name: 'Disable' }).click();
  await expect.poll(() => answers.count('/api/jobs/3/disable')).toBe(1);
  expect(answers.count('/api/jobs/1/disable')).toBe(0);
});
