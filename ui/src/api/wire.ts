/** The only place that talks to the network: one request to this hub, never to another host. */
import { unreachable } from './problem.js';

export interface Sent {
  token?: string | undefined;
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal | undefined;
}

/** Any answer, good or bad. Rejects with a Problem of status 0 when there is none, and with the signal's reason when that ends it. */
export async function send(method: string, path: string, sent: Sent = {}): Promise<Response> {
  const headers = new Headers(sent.headers);
  if (sent.token !== undefined) headers.set('Authorization', `Bearer ${sent.token}`);
  const init: RequestInit = {
    method,
    headers,
    cache: 'no-store',
    credentials: 'same-origin',
    redirect: 'error',
  };
  if (sent.signal) init.signal = sent.signal;
  if (sent.body !== undefined) {
    headers.set('Content-Type', 'application/json');
    init.body = JSON.stringify(sent.body);
  }
  try {
    return await fetch(path, init);
  } catch (error) {
    if (sent.signal?.aborted) throw error;
    throw unreachable();
  }
}
