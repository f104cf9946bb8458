// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import { factorLines, factorMeaning } from '../lib/factors.ts';
import { score } from '../lib/format.ts';
import { Clock } from '../lib/time.ts';
import type { Signal, Status } from '../net/protocol.ts';
import { Store } from '../store/store.ts';
import { blotters } from './blotters.ts';
import { barCard, comparison, factorTable, signalCard } from './signal-card.ts';
import { SidePanel } from './side.ts';
import type { TableSpec } from './table.ts';

const MOST = { htf: 25, sweep: 20, order_block: 20, fvg: 15, rsi: 10, structure: 10 };
const SIGNAL: Signal = {
  id: '1', ins: 'X', ts: 60_000, i: 3, kind: 'signal_skipped', side: -1, px: 2, stop: 2.1, target: 1.8, confidence: 0.35, factors: { htf: 25, rsi: 10, fvg: 0 },
  zone: '3', taken: false, skip: 'below_threshold', figure: 0.35, limit: 0.4, said: '', p: null, thr: null, model: null, why: 'short 35 of 100: 4h bias is bearish',
};

function app(status: Partial<Status> = {}): App {
  const store = new Store(() => undefined, 'X');
  const instruments = [{ id: 'X', tick: '0.01', lot: '1', bucket_usd: null, kind: 'bars', min_score: 40 }];
  store.apply('st', { mode: 'paper', instruments, models: [], factors: MOST, paused: [], halted: [], holds: [], killed: false, ...status } as unknown as Status);
  return { store, clock: () => new Clock('UTC'), commands: { obstacle: () => null } } as unknown as App;
}

const text = (element: Element | null): string => (element?.textContent ?? '').replace(/\s+/g, ' ');

it('never rounds points up to a limit that they do not reach', () => {
  expect([score(39.96), score(40), score(12.5)]).toEqual(['39.9', '40', '12.5']);
});

describe('factors of a score', () => {
  it('are all told, with points, the most they give, and a meaning; those that hold first', () => {
    const table = factorTable({ htf: 10, structure: 10 }, MOST)!;
    const rows = [...table.querySelectorAll<HTMLElement>('.factor')];
    expect(rows.map((row) => row.dataset['factor'])).toEqual(['htf', 'structure', 'sweep', 'order_block', 'fvg', 'rsi']);
    expect(rows.map((row) => text(row.querySelector('.num')))).toEqual(['10 of 25', '10 of 10', '0 of 20', '0 of 20', '0 of 15', '0 of 10']);
    for (const row of rows) expect(text(row.querySelector('.factor-meaning')).length).toBeGreaterThan(10);
  });

  it('of a strategy of one\'s own are shown by their names', () => {
    expect(factorLines({ my_range: 0.7, other: 0 })).toEqual([{ factor: 'my_range', points: 0.7, most: NaN }]);
    expect(factorMeaning('my_range')).toBe('');
    expect(factorTable({}, MOST)).toBeNull();
  });
});

describe('the card of a signal', () => {
  it('says why it was skipped, with what was compared, and its reasons with numbers', () => {
    const said = text(signalCard(app(), SIGNAL));
    expect(said).toContain('below the threshold');
    expect(said).toContain('0.350 / 0.400');
    expect(said).toContain('4h bias is bearish');
    expect(said).toContain('no model: signals are chosen by their score alone');
    expect(comparison({ ...SIGNAL, figure: null, limit: null })).toBe('');
  });

  it('shows what the model of signals said: its probability and threshold, or why there is none', () => {
    const shown = signalCard(app(), { ...SIGNAL, p: 0.48, thr: 0.55, skip: 'model', model: 'below_threshold' });
    expect(shown.querySelector('.gauge')!.getAttribute('aria-label')).toBe('probability 48.0%, threshold 55.0%');
    expect(text(shown)).toContain('the model says no');
    const unfit = signalCard(app(), { ...SIGNAL, p: null, thr: 0.55, skip: 'model', model: 'unfit_row' });
    expect([unfit.querySelector('.gauge'), text(unfit).includes('could not score')]).toEqual([null, true]);
  });
});

describe('the table of signals', () => {
  it('has what was compared, what the model said, and the factors by name', () => {
    const { columns } = blotters(app()).find((one) => one.title === 'Signals')!.table as unknown as TableSpec<Signal>;
    const said = (row: Signal): Record<string, string> => Object.fromEntries(columns.map((column) => [column.name, column.text(row)]));
    const asked = said({ ...SIGNAL, p: 0.48, thr: 0.55 });
    expect([asked['Skipped for'], asked['Figure, limit'], asked['p / threshold'], asked['Factors']]).toEqual(['below the threshold', '0.350 / 0.400', '0.480 / 0.550', 'Higher timeframe +25, RSI +10']);
    expect(said(SIGNAL)['p / threshold']).toBe('–');
  });
});

describe('the card of a kline', () => {
  it('says which side is ahead and what a signal needs', () => {
    const bar = { ins: 'X', t: 0, long: 10, short: 35, factors: { htf: 25, rsi: 10 } };
    expect(text(barCard(app(), bar))).toContain('▼ short 35 of 100');
    expect(text(barCard(app(), bar))).toContain('long 10; a signal needs 40');
    expect(barCard(app(), { ...bar, factors: {} })).toBeNull();
  });
});

describe('a session on klines', () => {
  it('has the last signal beside the chart, and says it where there is none and no model', () => {
    const one = app();
    const { element } = new SidePanel(one);
    expect(text(element)).toContain('no signal of this symbol yet: one is taken from a score of 40 on');
    expect(text(element)).toContain('no model');
    one.store.apply('sig', SIGNAL);
    one.store.apply('sig', { ...SIGNAL, id: '2', ins: 'Y', skip: 'correlated' });
    expect(text(new SidePanel(one).element)).toContain('below the threshold');
  });

  it('tells distances of stop and target from the last kline', () => {
    const one = app();
    one.store.apply('bar', { ins: 'X', tf: '5m', t: 0, o: 2, h: 2, l: 2, c: 2, v: 1, score_long: 0, score_short: 0, factors: {} });
    one.store.apply('pos', { ins: 'X', setup: 'S', side: 'short', qty: '1', avg: '2', upnl: null, rpnl: '0', r: null, stop: '2.1', targets: ['1.8'], since: 0, unprotected_ms: 0 });
    expect(text(new SidePanel(one).element)).toContain('2.10 +5.00%');
    expect(text(new SidePanel(one).element)).toContain('1.80 −10.00%');
  });

  it('explains tables that stay empty', () => {
    const list = blotters(app());
    const empty = (title: string): string => (list.find((one) => one.title === title)!.table as unknown as TableSpec<never>).empty;
    expect(empty('Decisions')).toBe('what is decided on klines is in the table Signals; no model: signals are chosen by their score alone');
    expect(empty('Zones')).toContain('point at a kline');
  });
});
