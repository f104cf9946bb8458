/** Why a signal: its score by factors, what its model said, and why it was left; the same of a kline that is none. */
import { instrumentInfo, pricePlaces, type App } from '../app.ts';
import { factorLines, factorMeaning, factorName } from '../lib/factors.ts';
import { fixed, percent, score, signed, words } from '../lib/format.ts';
import { skipWords } from '../lib/reasons.ts';
import { h } from '../lib/dom.ts';
import type { Signal } from '../net/protocol.ts';
import { card, gauge, type Row } from './pieces.ts';

export function signalCard(app: App, signal: Signal): HTMLElement {
  const price = (value: number | null): string => fixed(value, pricePlaces(app, signal.ins));
  const rows: Row[] = [['Time', app.clock().stamp(signal.ts)], ['Price', price(signal.px)], ['Stop', price(signal.stop)], ['Target', price(signal.target)]];
  if (signal.confidence !== null) rows.push(['Confidence', percent(signal.confidence, 0)]);
  if (signal.skip) rows.push(['Skipped for', skipWords(signal.skip)]);
  if (comparison(signal)) rows.push(['Figure, limit', comparison(signal)]);
  const title = `${signal.side > 0 ? '▲' : '▼'} ${words(signal.kind)}`;
  const tone = signal.taken ? (signal.side > 0 ? 'up' : 'down') : 'warn';
  return card(
    title, signal.taken ? 'taken' : 'skipped', tone, rows,
    signal.said ? h('p.why', {}, signal.said) : null,
    modelOf(app, signal), signal.why ? h('p.why.small', {}, signal.why) : null, factorTable(signal.factors, app.store.status?.factors),
  );
}

/** What was compared with what, where something was. */
export function comparison({ figure, limit }: Signal): string {
  if (figure === null || figure === undefined) return '';
  const places = Math.max(Math.abs(figure), Math.abs(limit ?? 0)) < 10 ? 3 : 2;
  return limit === null || limit === undefined ? fixed(figure, places) : `${fixed(figure, places)} / ${fixed(limit, places)}`;
}

/** What the model of signals said of this one; of a strategy that has none, that. */
function modelOf(app: App, { ins, p, thr, model }: Signal): HTMLElement | null {
  if (thr !== null && thr !== undefined) {
    const said = h('p.muted.small', {}, MODEL_WORDS[model ?? ''] ?? words(model ?? ''));
    return p === null || p === undefined ? said : h('div', {}, gauge(p, thr), said);
  }
  return instrumentInfo(app, ins)?.kind === 'bars' ? h('p.muted.small', {}, noModel(app)) : null;
}

/** Answers of `strategies.signal_filter`. */
const MODEL_WORDS: Record<string, string> = {
  kept: 'the model lets it pass', below_threshold: 'the model says no', no_skill: 'asked, but not obeyed: its validation found no skill',
  unfit_row: 'the model could not score it: a feature is missing or unheard of', expired: 'the model has expired and was not asked',
};

export function noModel(app: App): string {
  return app.store.status?.models.length ? 'the model was not asked' : 'no model: signals are chosen by their score alone';
}

/** Every factor with its points, the most that it gives, and what it means. */
export function factorTable(points: Record<string, number>, most: Record<string, number> = {}): HTMLElement | null {
  const lines = factorLines(points, most);
  if (!lines.length || !Object.keys(points).length) return null;
  const scale = Math.max(...lines.map((line) => Math.abs(line.points)), ...lines.map((line) => line.most || 0), 1e-9);
  const table = h('div.factors', { role: 'list', 'aria-label': 'factors of the score' });
  for (const { factor, points: one, most: top } of lines) {
    const [fill, room] = [h('div.factor-fill'), h('div.factor-room')];
    fill.style.width = `${(Math.abs(one) / scale) * 100}%`;
    room.style.width = `${((top || 0) / scale) * 100}%`;
    const value = Number.isNaN(top) ? signed(one, 1) : `${score(one)} of ${score(top)}`;
    table.append(h(
      `div.factor${one ? '' : '.is-off'}`, { role: 'listitem', 'data-factor': factor },
      h('span.factor-name', {}, factorName(factor)), h('div.factor-track', {}, room, fill), h('span.num', {}, value),
      h('span.factor-meaning', {}, factorMeaning(factor)),
    ));
  }
  return table;
}

export interface ScoredBar {
  ins: string;
  /** When it opened, ms. */
  t: number;
  long: number;
  short: number;
  factors: Record<string, number>;
}

/** Which side of a kline is ahead, by how much, and whether that would do for a signal. */
export function barCard(app: App, bar: ScoredBar): HTMLElement | null {
  const factors = factorTable(bar.factors, app.store.status?.factors);
  if (!factors) return null;
  const isLong = bar.long >= bar.short;
  const [ahead, other] = isLong ? [bar.long, bar.short] : [bar.short, bar.long];
  const least = instrumentInfo(app, bar.ins)?.min_score;
  const head = `${isLong ? '▲ long' : '▼ short'} ${score(ahead)} of 100`;
  const rest = [`${isLong ? 'short' : 'long'} ${score(other)}`];
  if (typeof least === 'number') rest.push(`a signal needs ${score(least)}${ahead >= least ? ' and a kline of its colour' : ''}`);
  return h(
    'div.card-body', {},
    h('div.card-head', {}, h('strong', {}, head), h('span.muted', {}, app.clock().date(bar.t))), h('p.muted.small', {}, rest.join('; ')), factors,
  );
}
