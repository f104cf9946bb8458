/** Small things that several views show alike. */
import { h, setClass, setText } from '../lib/dom.ts';
import { fixed, MISSING, percent } from '../lib/format.ts';

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

export type Row = [label: string, value: string];

/** What something on the chart is: a title with a tag, facts, and what explains them. */
export function card(title: string, tag: string, tone: string, rows: Row[], ...rest: (HTMLElement | null)[]): HTMLElement {
  const list = h('dl.pairs');
  for (const [label, value] of rows) list.append(h('dt', {}, label), h('dd', {}, value));
  return h('div.card-body', {}, h('div.card-head', {}, h('strong', {}, title), h(`span.tag.${tone}`, {}, tag)), list, ...rest);
}

/** Probability on a line with its threshold. */
export function gauge(p: number, threshold: number): HTMLElement {
  const bar = h('div.gauge-fill');
  bar.style.width = `${p * 100}%`;
  const mark = h('div.gauge-mark');
  mark.style.left = `${threshold * 100}%`;
  const tone = p >= threshold ? 'up' : 'down';
  return h(
    `div.gauge.${tone}`, { role: 'img', 'aria-label': `probability ${percent(p)}, threshold ${percent(threshold)}` },
    h('div.gauge-label', {}, h('span.num', {}, `p ${fixed(p, 3)}`), h('span.muted.num', {}, `threshold ${fixed(threshold, 3)}`)),
    h('div.gauge-track', {}, bar, mark),
  );
}
