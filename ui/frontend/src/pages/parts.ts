/** Pieces of pages: figures in tiles, bars of shares, small curves, definition lists. */
import { h, svg } from '../lib/dom.ts';
import { fixed, signTone, words } from '../lib/format.ts';
import type { Clock } from '../lib/time.ts';

/** Label, value, and a number whose sign colours it. */
export type Tile = [label: string, value: string, sign?: number | null];

export function tiles(list: Tile[]): HTMLElement[] {
  return list.map(([label, value, sign]) => {
    return h('div.tile', {}, h('span.tile-label', {}, label), h(`span.tile-value.num.${signTone(sign)}`, {}, value));
  });
}

/** Counts as horizontal bars, the largest first. */
export function shareBars(counts: [string, number][]): HTMLElement {
  const total = counts.reduce((sum, [, count]) => sum + count, 0) || 1;
  const list = h('div.shares', { role: 'list' });
  for (const [name, count] of counts) {
    const fill = h('div.share-fill');
    fill.style.width = `${(count / total) * 100}%`;
    list.append(h(
      'div.share', { role: 'listitem' }, h('span', {}, name), h('div.share-track', {}, fill), h('span.num', {}, fixed(count, 0)),
      h('span.num.muted', {}, `${fixed((count / total) * 100, 1)}%`),
    ));
  }
  return list;
}

/** Of which mode and session rows and figures are; null is all of them. `as_of`: nothing of later, in a replay. */
export interface Scope {
  mode: string | null;
  session: string | null;
  as_of: number | null;
}

/** What figures are of, in words. */
export function scopeWords({ mode, session }: Scope): string {
  if (session) return `of the session ${session}${mode ? ` (${mode})` : ''}`;
  return mode ? `of all ${mode === 'live' ? 'LIVE' : mode} sessions` : 'of all modes: live, paper and backtests';
}

/** Up to when, in words; nothing where it is up to now. */
export function asOfWords({ as_of }: Pick<Scope, 'as_of'>, clock: Clock): string {
  return as_of === null ? '' : `as of the replay's time, ${clock.stamp(as_of)}`;
}

export function scopeTag(scope: Scope, clock: Clock): HTMLElement {
  return h('p.muted.small.scope', {}, [scopeWords(scope), asOfWords(scope, clock)].filter(Boolean).join(', '));
}

const [WIDTH, HEIGHT] = [640, 160];

/** Curves over a common scale; each has a class that colours it. */
export function curves(label: string, lines: { name: string; tone: string; values: number[] }[]): HTMLElement {
  const all = lines.flatMap((line) => line.values);
  const [low, high] = [Math.min(0, ...all), Math.max(0, ...all)];
  const y = (value: number): number => HEIGHT - ((value - low) / (high - low || 1)) * HEIGHT;
  const chart = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', class: 'curve', role: 'img', 'aria-label': label });
  chart.append(svg('line', { x1: 0, x2: WIDTH, y1: y(0), y2: y(0), class: 'curve-zero' }));
  for (const { tone, values } of lines) {
    const points = values.map((value, index) => `${((index / Math.max(1, values.length - 1)) * WIDTH).toFixed(1)},${y(value).toFixed(1)}`);
    chart.append(svg('polyline', { points: points.join(' '), class: `curve-line ${tone}` }));
  }
  const names = lines.length > 1 ? h('div.curve-names', {}, ...lines.map(({ name, tone }) => h(`span.${tone}`, {}, `— ${name}`))) : null;
  const frame = h('figure.curve-frame', {}, h('span.curve-high.num.muted', {}, fixed(high, 2)), h('span.curve-low.num.muted', {}, fixed(low, 2)), names);
  frame.prepend(chart);
  return frame;
}

/** What was predicted against what happened, by bins of probability; a disc is as large as its bin is full. */
export function reliability(bins: { p: number; rate: number; count: number }[]): HTMLElement {
  const size = 220;
  const chart = svg('svg', { viewBox: `0 0 ${size} ${size}`, class: 'reliability', role: 'img', 'aria-label': 'reliability: predicted probability against observed share' });
  chart.append(svg('rect', { x: 0, y: 0, width: size, height: size, class: 'reliability-frame' }), svg('line', { x1: 0, y1: size, x2: size, y2: 0, class: 'curve-zero' }));
  const most = Math.max(1, ...bins.map((bin) => bin.count));
  for (const bin of bins) {
    chart.append(svg('circle', { cx: bin.p * size, cy: (1 - bin.rate) * size, r: 3 + 9 * Math.sqrt(bin.count / most), class: 'reliability-dot' }));
  }
  const frame = h('figure.reliability-figure', {}, h('figcaption.muted.small', {}, 'predicted → , observed ↑; on the line is right'));
  frame.prepend(chart);
  return frame;
}

/** Nested values as a list of names and texts. */
export function facts(values: Record<string, unknown>): HTMLElement {
  const list = h('dl.pairs.facts');
  for (const [name, value] of Object.entries(values)) {
    if (value === null || value === undefined || value === '') continue;
    list.append(h('dt', {}, words(name)), h('dd', {}, textOf(value)));
  }
  return list;
}

export function textOf(value: unknown): string {
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
  if (Array.isArray(value)) return value.map(textOf).join(', ');
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value).map(([key, one]) => `${key} ${textOf(one)}`).join(', ');
  }
  // Decimal text of the journal has all the places of its column.
  return String(value).replace(/^(-?\d+\.\d*?)0+$/, '$1').replace(/^(-?\d+)\.$/, '$1');
}
