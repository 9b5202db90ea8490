/**
 * One tab at a time does what must not be done twice: a refresh token that comes to the hub twice ends the session.
 *
 * Browsers offer Web Locks on secure origins only. A hub on plain http in a private network gets a lock made of local storage; it
 * can fail when two tabs act in the same millisecond, and then one of them has to log in again.
 */
const KEY = 'fileflux.lock';
const HELD_MS = 10_000;
const PAUSE_MS = 40;

export async function exclusively<Result>(work: () => Promise<Result>): Promise<Result> {
  // The type says that locks are always there; on plain http they are not.
  const locks = navigator.locks as LockManager | undefined;
  if (locks) return await locks.request(KEY, work);
  const release = await take();
  try {
    return await work();
  } finally {
    release();
  }
}

async function take(): Promise<() => void> {
  const own = `${String(Math.random())} `;
  for (;;) {
    const held = localStorage.getItem(KEY);
    const since = Number(held?.split(' ')[1]);
    if (held === null || !(Math.abs(Date.now() - since) < HELD_MS)) {
      const mine = own + String(Date.now());
      localStorage.setItem(KEY, mine);
      await pause();
      if (localStorage.getItem(KEY) === mine)
        return () => {
          localStorage.removeItem(KEY);
        };
    }
    await pause();
  }
}

function pause(): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, PAUSE_MS));
}
