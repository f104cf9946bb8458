/** Overview: every symbol at a glance, what was signalled and skipped, and a scan for volatility. */
import type { App } from '../app.ts';
import { h, replace } from '../lib/dom.ts';
import { arrowed, decimal, fixed, percent, signed, symbolOf } from '../lib/format.ts';
import { skipWords } from '../lib/reasons.ts';
import { VirtualTable, type ColumnSpec } from '../views/table.ts';
import { every, failure, fill, section, type Page } from './page.ts';
import { scopeTag, shareBars, tiles, type Scope, type Tile } from './parts.ts';

const REFRESH_MS = 15_000;
const NS_PER_MS = 1e6;
const NO_KLINES = 'the catalog has no klines to rank: the scan reads history on the disk of the server, which `python download_data.py` brings there';

interface SignalSummary {
  instrument_id: string;
  signals: number;
  taken: number;
  last_24h: number;
  last_ts_ns: number;
}

interface SignalStats {
  of: Scope;
  signals: number;
  taken: number;
  skipped: number;
  average_confidence: number | null;
  skip_reasons: { reason: string; signals: number }[];
}

interface TradeStats {
  of: Scope;
  trades: number;
  wins: number;
  average_r: number | null;
  total_r: number | null;
}

interface ScanRow {
  rank: number;
  instrument: string;
  bars: number;
  last_close: number;
  atr_pct: number;
  realised_vol_pct: number;
  range_pct: number;
}

interface Scan {
  timeframes: { timeframe: string; as_of: string; rows: ScanRow[]; skipped: unknown[] }[];
}

export function open(app: App): Page {
  const figures = h('div');
  const skips = h('div');
  const symbols = symbolsTable(app);
  const wanted = h<HTMLInputElement>('input.field.filter', { type: 'search', placeholder: 'Filter', 'aria-label': 'filter the symbols' });
  wanted.addEventListener('input', () => symbols.table.setFilter(wanted.value));
  const stop = every(REFRESH_MS, () => {
    void symbols.load();
    void fill(figures, stats(app), ({ now, past, of }) => [h('div.tiles', {}, ...tiles(now)), scopeTag(of, app.clock()), h('div.tiles', {}, ...tiles(past))]);
    void fill(skips, app.api.get<SignalStats>('/api/v1/signals/stats'), ({ skip_reasons, skipped }) =>
      skipped ? [shareBars(skip_reasons.map(({ reason, signals }): [string, number] => [skipWords(reason) || 'no reason given', signals]))] : [h('p.muted', {}, 'no signal was skipped')],
    );
  });
  const element = h(
    'main.page', {}, h('h1', {}, 'Overview'), figures,
    h('div.columns', {}, section('Symbols', wanted, h('div.table-frame.fitted', {}, symbols.table.element)), section('Why signals were skipped', skips)),
    // A scan ranks the newest klines of the catalog, which a replay does not know of yet.
    app.api.session?.mode === 'replay' ? null : scanSection(app),
  );
  return { element, leave: stop };
}

/** What stands now is the node's; what happened is of the mode or session that is served. */
async function stats(app: App): Promise<{ now: Tile[]; past: Tile[]; of: Scope }> {
  const [signals, trades] = await Promise.all([app.api.get<SignalStats>('/api/v1/signals/stats'), app.api.get<TradeStats>('/api/v1/trades/stats')]);
  return {
    of: trades.of,
    now: [
      ['Symbols', String(app.store.status?.instruments.length ?? 0)],
      ['Open positions', String(app.store.openPositions().length)],
      ['Working orders', String(app.store.workingOrders().length)],
    ],
    past: [
      ['Signals', fixed(signals.signals, 0)],
      ['Taken', signals.signals ? percent(signals.taken / signals.signals) : '–'],
      ['Trades', fixed(trades.trades, 0)],
      ['Won', trades.trades ? percent(trades.wins / trades.trades) : '–'],
      ['Mean R', signed(trades.average_r, 2), trades.average_r],
      ['Sum R', signed(trades.total_r, 1), trades.total_r],
    ],
  };
}

interface SymbolRow {
  id: string;
  side: string;
  r: number | null;
  upnl: string | null;
  orders: number;
  summary: SignalSummary | undefined;
}

function symbolsTable(app: App): { table: VirtualTable<SymbolRow>; load(): Promise<void> } {
  let summaries = new Map<string, SignalSummary>();
  const columns: ColumnSpec<SymbolRow>[] = [
    { name: 'Symbol', width: 13, text: (row) => symbolOf(row.id) },
    { name: 'Venue', width: 9, text: (row) => row.id.slice(symbolOf(row.id).length + 1), tone: () => 'muted' },
    { name: 'Position', width: 8, text: (row) => row.side, tone: (row) => (row.side === 'long' ? 'up' : row.side === 'short' ? 'down' : 'muted') },
    { name: 'R', width: 6, numeric: true, text: (row) => signed(row.r, 2), value: (row) => row.r ?? -Infinity, tone: (row) => (row.r === null ? '' : row.r > 0 ? 'up' : 'down') },
    { name: 'Open PnL', width: 10, numeric: true, text: (row) => arrowed(row.upnl === null ? null : Number(row.upnl), 2), value: (row) => Number(row.upnl ?? 0) },
    { name: 'Working', width: 7, numeric: true, text: (row) => (row.orders ? String(row.orders) : ''), value: (row) => row.orders },
    { name: 'Signals', width: 7, numeric: true, text: (row) => fixed(row.summary?.signals ?? 0, 0), value: (row) => row.summary?.signals ?? 0 },
    { name: 'Taken', width: 6, numeric: true, text: (row) => fixed(row.summary?.taken ?? 0, 0), value: (row) => row.summary?.taken ?? 0 },
    { name: '24 h', width: 5, numeric: true, text: (row) => fixed(row.summary?.last_24h ?? 0, 0), value: (row) => row.summary?.last_24h ?? 0 },
    { name: 'Last signal', width: 22, text: (row) => app.clock().stamp(row.summary ? row.summary.last_ts_ns / NS_PER_MS : null), value: (row) => row.summary?.last_ts_ns ?? 0, tone: () => 'muted' },
  ];
  const table = new VirtualTable<SymbolRow>({
    name: 'symbols', columns, empty: 'no symbols', open: (row) => app.show(row.id),
    rows: () => symbolRows(app, summaries),
  });
  const load = async (): Promise<void> => {
    const answer = await app.api.get<{ instruments: SignalSummary[] }>('/api/v1/signals/summary').catch(() => ({ instruments: [] }));
    summaries = new Map(answer.instruments.map((one) => [one.instrument_id, one]));
    table.refresh();
  };
  return { table, load };
}

function symbolRows(app: App, summaries: Map<string, SignalSummary>): SymbolRow[] {
  const known = app.store.status?.instruments.map((one) => one.id) ?? [];
  return [...new Set([...known, ...summaries.keys()])].map((id) => {
    const [position] = app.store.openPositions(id);
    return {
      id, side: position?.side ?? 'flat', r: position?.r ?? null, upnl: position?.upnl ?? null,
      orders: app.store.workingOrders(id).length, summary: summaries.get(id),
    };
  });
}

function scanSection(app: App): HTMLElement {
  const timeframe = h<HTMLSelectElement>('select.field', { 'aria-label': 'timeframe' }, ...['5m', '15m', '1h', '4h', '1d'].map((one) => h('option', { value: one, selected: one === '1h' }, one)));
  const by = h<HTMLSelectElement>('select.field', { 'aria-label': 'rank by' }, ...[['atr_pct', 'ATR %'], ['realised_vol_pct', 'realised volatility %'], ['range_pct', 'range %']].map(([value, text]) => h('option', { value: value! }, text!)));
  const result = h('div', { 'aria-live': 'polite' });
  const run = async (): Promise<void> => {
    replace(result, h('p.muted', {}, 'scanning …'));
    try {
      const scan = await app.api.get<Scan>('/api/v1/scan/volatility', { timeframe: timeframe.value, by: by.value, top: 200 });
      replace(result, scan.timeframes.length ? scanTable(app, scan) : h('p.muted', {}, NO_KLINES));
    } catch (error) {
      replace(result, failure(error));
    }
  };
  const button = h('button.btn', { onclick: () => void run() }, 'Scan');
  return section('Volatility scan', h('div.form-line', {}, timeframe, by, button), result);
}

function scanTable(app: App, scan: Scan): HTMLElement {
  const [found] = scan.timeframes;
  const pct = (name: string, read: (row: ScanRow) => number): ColumnSpec<ScanRow> => ({ name, width: 14, numeric: true, text: (row) => `${fixed(read(row), 2)}%`, value: read });
  const table = new VirtualTable<ScanRow>({
    name: 'volatility', empty: 'no instrument has enough bars', rows: () => found?.rows ?? [],
    open: (row) => app.show(row.instrument),
    columns: [
      { name: '#', width: 5, numeric: true, text: (row) => String(row.rank), value: (row) => row.rank },
      { name: 'Symbol', width: 22, text: (row) => row.instrument },
      { name: 'Close', width: 14, numeric: true, text: (row) => decimal(String(row.last_close)), value: (row) => row.last_close },
      pct('ATR', (row) => row.atr_pct), pct('Realised vol', (row) => row.realised_vol_pct), pct('Range', (row) => row.range_pct),
      { name: 'Bars', width: 8, numeric: true, text: (row) => String(row.bars), value: (row) => row.bars },
    ],
  });
  table.refresh();
  return h('div', {}, h('p.muted.small', {}, `as of ${found?.as_of ?? '–'}, ${found?.skipped.length ?? 0} without enough bars`), h('div.table-frame.fitted', {}, table.element));
}
