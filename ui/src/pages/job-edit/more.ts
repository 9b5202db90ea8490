import { html } from 'lit';

import type { Job } from '../../api/types.js';
import { moreOf } from '../../data/job_fields.js';
import { texts } from '../../texts.js';
import { box, choice, number, text } from '../../components/fields/fields.js';

const words = texts.more;

/** What most jobs leave as it is, folded away. */
export function more(job: Job | undefined) {
  const now = moreOf(job);
  return html`<details class="panel more-fields">
    <summary>${words.title}</summary>
    <div class="inside">
      <h3>${words.files}</h3>
      <div class="fields">
        ${choice('symlinks', words.symlinks, words.symlinksOf, now.symlinks)}
        ${choice('names', words.names, words.namesOf, now.names)}
        ${choice('on_change', words.onChange, words.onChangeOf, now.on_change)}
        ${number('keep_versions', words.versions, now.keep_versions, { help: words.versionsHelp })}
        <div class="boxes">
          ${box('mtime', words.mtime, now.mtime)} ${box('mode', words.mode, now.mode)}
          ${box('delete_extra', words.extra, now.delete_extra)}
        </div>
      </div>
      <h3>${words.watching}</h3>
      <div class="fields">
        <div class="boxes">${box('watch', words.watch, now.watch)}</div>
        ${number('watch_settle', words.settle, now.watch_settle, { help: words.settleHelp, step: 'any' })}
        ${text('watch_marker', words.marker, now.watch_marker)}
      </div>
      <h3>${words.runs}</h3>
      <div class="fields">
        ${choice('overlap', words.overlap, words.overlapOf, now.overlap)}
        ${choice('catch_up', words.catchUp, words.catchUpOf, now.catch_up)}
        ${number('jitter_s', words.jitter, now.jitter_s)}
        ${text('expected_by', words.expected, now.expected_by)}
        ${number('deadline', words.deadline, now.deadline, { step: 'any', help: words.deadlineHelp })}
        ${number('retry_delay', words.delay, now.retry_delay, { step: 'any' })}
      </div>
      <h3>${words.speed}</h3>
      <div class="fields">
        ${number('parallel', words.parallel, now.parallel, { min: 1 })}
        ${number('priority', words.priority, now.priority, { min: 1, max: 9, help: words.priorityHelp })}
        ${number('chunk_size', words.chunk, now.chunk_size, { min: 0.25, max: 64, step: 'any' })}
        ${choice('hub_check', words.check, words.checkOf, now.hub_check)}
      </div>
    </div>
  </details>`;
}
