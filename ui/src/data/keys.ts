/** Keys that work on every page: `g` and a letter go to a page, `/` searches, `?` tells what there is. */
import { linkTo, type ListPage } from './router.js';

const PAGES: Readonly<Record<string, ListPage>> = {
  d: 'dashboard',
  m: 'map',
  j: 'jobs',
  r: 'runs',
  t: 'transfers',
  a: 'agents',
  s: 'schedules',
};
const TOGETHER_MS = 1200;

interface Doing {
  help: () => void;
  search: () => boolean;
}

/** Listens until the function that is returned is called. */
export function listenToKeys(doing: Doing): () => void {
  let goneAt = -TOGETHER_MS;
  const pressed = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    const page = PAGES[event.key];
    if (event.timeStamp - goneAt < TOGETHER_MS && page) location.hash = linkTo.page(page);
    else if (event.key === '?') doing.help();
    else if (event.key === '/' && doing.search()) event.preventDefault();
    goneAt = event.key === 'g' ? event.timeStamp : -TOGETHER_MS;
  };
  document.addEventListener('keydown', pressed);
  return () => {
    document.removeEventListener('keydown', pressed);
  };
}

/** What is typed into a field, or while a dialog is open, is no command. */
function isTyping(event: KeyboardEvent): boolean {
  return event
    .composedPath()
    .some(target => target instanceof HTMLElement && target.matches('input, select, textarea, dialog[open]'));
}

/** Puts the cursor into the search of the page that is shown, through all shadow roots. False where there is none. */
export function focusSearch(root: ParentNode): boolean {
  for (const element of root.querySelectorAll<HTMLElement>('*')) {
    if (element.matches('input[type=search]')) {
      element.focus();
      return true;
    }
    if (element.shadowRoot && focusSearch(element.shadowRoot)) return true;
  }
  return false;
}
