/** What the shell asks of a page beside the terminal. */
import { h, replace } from '../lib/dom.ts';
import { ApiError } from '../net/api.ts';

export interface Page {
  element: HTMLElement;
  /** Stop timers: the page is not shown any more. */
  leave(): void;
}

/** Show what a request answers, or the server's words about why it did not. */
export async function fill<T>(target: HTMLElement, request: Promise<T>, draw: (answer: T) => (Node | null)[]): Promise<void> {
  try {
    replace(target, ...draw(await request));
  } catch (error) {
    replace(target, failure(error));
  }
}

export function failure(error: unknown): HTMLElement {
  const words = error instanceof ApiError ? error.message : `the server does not answer (${String(error)})`;
  return h('p.notice', { role: 'alert' }, words);
}

/** Call at once and then every `ms`; returns how to stop. */
export function every(ms: number, run: () => void): () => void {
  run();
  const timer = setInterval(run, ms);
  return () => clearInterval(timer);
}

/** A section of a page with its heading. */
export function section(title: string, ...body: (Node | null)[]): HTMLElement {
  return h('section.block', {}, h('h2', {}, title), ...body);
}
