/** Small things that several views show alike. */
import { h, setClass, setText } from '../lib/dom.ts';
import { fixed, MISSING } from '../lib/format.ts';

/** Age with one place at most: it is read at a glance and changes all the time. */
export function ageText(ms: number): string {
  if (ms < 10_000) return `${(ms / 1000).toFixed(1)} s`;
  return ms < 120_000 ? `${Math.floor(ms / 1000)} s` : `${Math.floor(ms / 60_000)} min`;
}

export function setTextOf(parent: Element, selector: string, text: string): void {
  const element = parent.querySelector(selector);
  if (element) setText(element, text);
}

/** A figure under its label. */
export class Figure {
  readonly element: HTMLElement;
  private readonly value = h('span.figure-value.num', {}, MISSING);

  constructor(label: string, title = '') {
    this.element = h('div.figure', { title: title || false }, h('span.figure-label', {}, label), this.value);
  }

  set(text: string, tone = ''): void {
    setText(this.value, text);
    setClass(this.value, `figure-value num ${tone}`);
  }
}

/** Median and 99th percentile as one text: 4 / 11. */
export function quantiles(pair: readonly (number | null)[] | null | undefined, places = 0): string {
  const [middle, high] = pair ?? [];
  return middle === null || middle === undefined ? MISSING : `${fixed(middle, places)} / ${fixed(high, places)}`;
}

/** A card of the side panel. */
export function panelCard(title: string, ...body: (Node | null)[]): { element: HTMLElement; body: HTMLElement } {
  const content = h('div.panel-body', {}, ...body);
  return { element: h('section.panel', { 'aria-label': title }, h('h3', {}, title), content), body: content };
}
