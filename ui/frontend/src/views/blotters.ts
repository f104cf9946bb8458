/** The tables at the foot of the terminal: what each shows. */
import { instrumentInfo, priceText, pricePlaces, takesCommands, type App } from '../app.ts';
import { perform } from '../actions/control.ts';
import type { Sent } from '../actions/commands.ts';
import { arrowed, decimal, duration, fixed, micros, percent, signed, signTone, symbolOf, words } from '../lib/format.ts';
import { factorText } from '../lib/factors.ts';
import { skipWords } from '../lib/reasons.ts';
import type { Cancel, Decision, Fill, LogLine, Order, Position, Signal, Trade, Zone } from '../net/protocol.ts';
import { decisionKey, isExternal, isWorking, type Topic } from '../store/store.ts';
import { comparison, noModel } from './signal-card.ts';
import type { ColumnSpec, TableSpec } from './table.ts';

/** A table, and what makes it change. */
export interface Blotter {
  title: string;
  topics: Topic[];
  table: TableSpec<never>;
}

const bySide = (side: string): string => (side === 'buy' || side === 'long' ? 'up' : side === 'flat' ? 'muted' : 'down');
const newest = <Row extends { ts: number }>(rows: Iterable<Row>): Row[] => [...rows].sort((a, b) => b.ts - a.ts);

export function blotters(app: App): Blotter[] {
  return [orders(app), positions(app), trades(app), fills(app), signals(app), decisions(app), cancels(app), zones(app), log(app), commands(app)];
}

function time<Row extends { ts: number }>(app: App): ColumnSpec<Row> {
  return { name: 'Time', width: 21, text: (row) => app.clock().stamp(row.ts), value: (row) => row.ts, tone: () => 'muted' };
}

function symbol<Row extends { ins: string }>(): ColumnSpec<Row> {
  return { name: 'Symbol', width: 18, text: (row) => symbolOf(row.ins) };
}

function blotter<Row>(title: string, topics: Topic[], table: TableSpec<Row>): Blotter {
  return { title, topics, table: table as unknown as TableSpec<never> };
}

function orders(app: App): Blotter {
  return blotter<Order>('Orders', ['orders'], {
    name: 'orders',
    empty: 'no orders yet',
    rows: () => newest(app.store.orders.values()).sort((a, b) => Number(isWorking(b)) - Number(isWorking(a))),
    open: (row) => app.show(row.ins, row.ts),
    columns: [
      time(app), symbol(),
      { name: 'Role', width: 8, text: (row) => row.role },
      { name: 'Side', width: 6, text: (row) => row.side, tone: (row) => bySide(row.side) },
      { name: 'Type', width: 17, text: (row) => `${words(row.type).toLowerCase()} ${row.tif}` },
      { name: 'Price', width: 12, numeric: true, text: (row) => priceText(app, row.ins, row.trig ?? row.px), value: (row) => Number(row.trig ?? row.px) },
      { name: 'Qty', width: 11, numeric: true, text: (row) => decimal(row.qty), value: (row) => Number(row.qty) },
      { name: 'Filled', width: 11, numeric: true, text: (row) => decimal(row.filled), value: (row) => Number(row.filled) },
      { name: 'Avg', width: 12, numeric: true, text: (row) => priceText(app, row.ins, row.avg), value: (row) => Number(row.avg) },
      { name: 'Status', width: 16, text: (row) => words(row.status).toLowerCase(), tone: orderTone },
      { name: 'Setup', width: 16, text: (row) => row.setup, tone: () => 'muted' },
      { name: 'Reason', width: 20, text: (row) => row.reason ?? '', tone: () => 'muted' },
    ],
  });
}

function orderTone(order: Order): string {
  if (order.status === 'REJECTED' || order.status === 'DENIED') return 'down';
  return isWorking(order) ? 'accent' : order.status === 'FILLED' ? '' : 'muted';
}

function positions(app: App): Blotter {
  const columns: ColumnSpec<Position>[] = [
    symbol(),
    { name: 'Side', width: 7, text: (row) => row.side, tone: (row) => bySide(row.side) },
    { name: 'Qty', width: 11, numeric: true, text: (row) => decimal(row.qty), value: (row) => Number(row.qty) },
    { name: 'Entry', width: 20, numeric: true, text: (row) => priceText(app, row.ins, row.avg) + (isExternal(row) ? ' avg of all' : ''), value: (row) => Number(row.avg) },
    { name: 'Stop', width: 12, numeric: true, text: (row) => priceText(app, row.ins, row.stop), tone: (row) => (row.stop ? '' : 'warn') },
    { name: 'Targets', width: 16, numeric: true, text: (row) => row.targets.map((one) => priceText(app, row.ins, one)).join(' ') },
    { name: 'Open PnL', width: 12, numeric: true, text: (row) => arrowed(Number(row.upnl ?? NaN), 2), tone: (row) => signTone(Number(row.upnl)), value: (row) => Number(row.upnl) },
    { name: 'R', width: 8, numeric: true, text: (row) => signed(row.r, 2), tone: (row) => signTone(row.r), value: (row) => row.r ?? 0 },
    { name: 'Realized', width: 12, numeric: true, text: (row) => signed(Number(row.rpnl), 2), tone: (row) => signTone(Number(row.rpnl)), value: (row) => Number(row.rpnl) },
    { name: 'Longest unprotected', width: 17, numeric: true, text: (row) => duration(row.unprotected_ms), tone: (row) => (isExternal(row) ? 'warn' : ''), value: (row) => row.unprotected_ms },
    { name: 'Since', width: 21, text: (row) => app.clock().stamp(row.since), tone: () => 'muted', value: (row) => row.since },
    {
      name: '', width: 10, text: () => '',
      action: {
        label: (row) => (row.side !== 'flat' && takesCommands(app) ? 'Close' : ''),
        run: (row) => void perform(app, 'close', row.ins),
        obstacle: () => app.commands.obstacle('close'),
        key: 'c',
      },
    },
    { name: 'Setup', width: 14, text: (row) => row.setup, tone: () => 'muted' },
  ];
  return blotter<Position>('Positions', ['positions', 'link'], {
    name: 'positions',
    empty: 'no open position',
    id: (row) => `${row.ins} ${row.setup}`,
    rows: () => app.store.openPositions().sort((a, b) => b.since - a.since),
    open: (row) => app.show(row.ins, row.since),
    columns,
  });
}

function trades(app: App): Blotter {
  return blotter<Trade>('Trades', ['trades'], {
    name: 'trades',
    get empty(): string {
      return app.store.status?.replay?.protocol === 1 ? 'not in this recording: it is older than this table' : 'no trade was closed yet';
    },
    rows: () => newest(app.store.trades),
    open: (row) => app.show(row.ins, row.ts),
    columns: [
      { ...time<Trade>(app), name: 'Closed' }, symbol(),
      { name: 'Side', width: 7, text: (row) => row.side, tone: (row) => bySide(row.side) },
      { name: 'R', width: 8, numeric: true, text: (row) => signed(row.r, 2), tone: (row) => signTone(row.r), value: (row) => row.r ?? 0 },
      { name: 'PnL', width: 16, numeric: true, text: (row) => `${arrowed(Number(row.pnl), 2)} ${row.ccy}`.trim(), tone: (row) => signTone(Number(row.pnl)), value: (row) => Number(row.pnl) },
      { name: 'Reason', width: 17, text: (row) => words(row.reason) + (row.tainted ? ' (tainted)' : '') },
      { name: 'Qty', width: 12, numeric: true, text: (row) => decimal(row.qty), value: (row) => Number(row.qty) },
      { name: 'Entry', width: 12, numeric: true, text: (row) => priceText(app, row.ins, row.entry), value: (row) => Number(row.entry) },
      { name: 'Exit', width: 12, numeric: true, text: (row) => priceText(app, row.ins, row.exit), value: (row) => Number(row.exit) },
      { name: 'Fees', width: 10, numeric: true, text: (row) => fixed(Number(row.fees), 2), value: (row) => Number(row.fees) },
      { name: 'Funding', width: 10, numeric: true, text: (row) => signed(Number(row.funding), 2), value: (row) => Number(row.funding) },
      { name: 'Held', width: 12, numeric: true, text: (row) => duration(row.ts - row.since), value: (row) => row.ts - row.since },
      { name: 'Setup', width: 16, text: (row) => row.setup, tone: () => 'muted' },
    ],
  });
}

function fills(app: App): Blotter {
  return blotter<Fill>('Fills', ['fills'], {
    name: 'fills',
    empty: 'no fills yet',
    rows: () => newest(app.store.fills),
    open: (row) => app.show(row.ins, row.ts, `fill:${row.trade}`),
    columns: [
      time(app), symbol(),
      { name: 'Side', width: 6, text: (row) => row.side, tone: (row) => bySide(row.side) },
      { name: 'Role', width: 8, text: (row) => app.store.orders.get(row.coid)?.role ?? '' },
      { name: 'Price', width: 12, numeric: true, text: (row) => priceText(app, row.ins, row.px), value: (row) => Number(row.px) },
      { name: 'Qty', width: 12, numeric: true, text: (row) => decimal(row.qty), value: (row) => Number(row.qty) },
      { name: 'Value', width: 13, numeric: true, text: (row) => fixed(Number(row.px) * Number(row.qty), 2), value: (row) => Number(row.px) * Number(row.qty) },
      { name: 'Fee', width: 16, numeric: true, text: (row) => `${decimal(row.fee)} ${row.ccy}`, value: (row) => Number(row.fee) },
      { name: '', width: 7, text: (row) => row.liq, tone: (row) => (row.liq === 'maker' ? '' : 'muted') },
      { name: 'Setup', width: 16, text: (row) => row.setup, tone: () => 'muted' },
      { name: 'Order', width: 26, text: (row) => row.coid, tone: () => 'muted' },
    ],
  });
}

function signals(app: App): Blotter {
  return blotter<Signal>('Signals', ['signals'], {
    name: 'signals',
    empty: 'no signals yet',
    rows: () => newest(app.store.signals),
    open: (row) => app.show(row.ins, row.ts, `sig:${row.id}`),
    columns: [
      time(app), symbol(),
      { name: 'Side', width: 7, text: (row) => (row.side > 0 ? 'long' : 'short'), tone: (row) => (row.side > 0 ? 'up' : 'down') },
      { name: 'Kind', width: 15, text: (row) => words(row.kind) },
      { name: 'Price', width: 12, numeric: true, text: (row) => fixed(row.px, pricePlaces(app, row.ins)), value: (row) => row.px },
      { name: 'Stop', width: 12, numeric: true, text: (row) => fixed(row.stop, pricePlaces(app, row.ins)) },
      { name: 'Target', width: 12, numeric: true, text: (row) => fixed(row.target, pricePlaces(app, row.ins)) },
      { name: 'Conf.', width: 7, numeric: true, text: (row) => percent(row.confidence, 0), value: (row) => row.confidence ?? 0 },
      { name: 'Taken', width: 8, text: (row) => (row.taken ? '● taken' : '○ skipped'), tone: (row) => (row.taken ? 'accent' : 'muted') },
      { name: 'Skipped for', width: 22, text: (row) => skipWords(row.skip) },
      { name: 'Figure, limit', width: 13, numeric: true, text: comparison, value: (row) => row.figure ?? -Infinity, tone: () => 'muted' },
      { name: 'p / threshold', width: 13, numeric: true, text: (row) => (typeof row.thr === 'number' ? `${fixed(row.p, 3)} / ${fixed(row.thr, 3)}` : '–'), value: (row) => row.p ?? -1 },
      { name: 'Factors', width: 34, text: (row) => factorText(row.factors), tone: () => 'muted' },
    ],
  });
}

function decisions(app: App): Blotter {
  return blotter<Decision>('Decisions', ['decisions'], {
    name: 'decisions',
    get empty(): string {
      return instrumentInfo(app)?.kind === 'bars' ? `what is decided on klines is in the table Signals; ${noModel(app)}` : 'the model was not asked yet';
    },
    rows: () => newest(app.store.decisions.values()),
    open: (row) => app.show(row.ins, row.ts, `mdl:${decisionKey(row)}`),
    columns: [
      time(app), symbol(),
      { name: 'Bucket', width: 9, numeric: true, text: (row) => `#${row.i}`, value: (row) => row.i },
      { name: 'Verdict', width: 10, text: (row) => (row.verdict === 'keep' ? '● keep' : '✕ cancel'), tone: (row) => (row.verdict === 'keep' ? 'up' : 'down') },
      { name: 'p', width: 7, numeric: true, text: (row) => fixed(row.p, 3), value: (row) => row.p },
      { name: 'Threshold', width: 10, numeric: true, text: (row) => fixed(row.thr, 3), value: (row) => row.thr },
      { name: 'Inference', width: 10, numeric: true, text: (row) => micros(row.infer_us), value: (row) => row.infer_us ?? 0 },
      { name: 'Setup', width: 16, text: (row) => row.setup, tone: () => 'muted' },
      { name: 'Top contributions', width: 44, text: (row) => row.why.slice(0, 3).map(([name, value]) => `${words(name)} ${signed(value, 2)}`).join(', ') },
    ],
  });
}

function cancels(app: App): Blotter {
  return blotter<Cancel>('Cancels', ['cancels'], {
    name: 'cancels',
    empty: 'no entry was taken back yet',
    rows: () => newest(app.store.cancels.values()),
    open: (row) => app.show(row.ins, row.ts, `cancel:${row.setup}`),
    columns: [
      time(app), symbol(),
      { name: 'Reason', width: 20, text: (row) => words(row.reason) },
      { name: 'p', width: 7, numeric: true, text: (row) => fixed(row.p, 3), value: (row) => row.p ?? 0 },
      { name: 'Threshold', width: 10, numeric: true, text: (row) => fixed(row.thr, 3), value: (row) => row.thr ?? 0 },
      { name: 'Outcome', width: 18, text: (row) => words(row.outcome ?? 'open') },
      { name: 'Would have made', width: 16, numeric: true, text: (row) => (row.would_r === null ? '–' : `${signed(row.would_r, 2)} R`), tone: (row) => signTone(row.would_r), value: (row) => row.would_r ?? 0 },
      { name: 'Setup', width: 18, text: (row) => row.setup, tone: () => 'muted' },
    ],
  });
}

function zones(app: App): Blotter {
  const rows = (): Zone[] => [...app.store.zones.values()].sort((a, b) => b.t0 - a.t0);
  return blotter<Zone>('Zones', ['zones'], {
    name: 'zones',
    get empty(): string {
      return instrumentInfo(app)?.kind === 'bars' ? 'zones are drawn on buckets alone: point at a kline to see which ones its score is made of' : 'no zones of this instrument';
    },
    rows,
    open: (row) => app.show(row.ins, row.t0, `zone:${row.id}`),
    columns: [
      { name: 'Since', width: 21, text: (row) => app.clock().stamp(row.t0), tone: () => 'muted', value: (row) => row.t0 },
      symbol(),
      { name: 'Type', width: 10, text: (row) => row.type.toUpperCase() },
      { name: 'Side', width: 7, text: (row) => (row.side > 0 ? '▲ long' : '▼ short'), tone: (row) => (row.side > 0 ? 'up' : 'down') },
      { name: 'State', width: 10, text: (row) => row.state, tone: (row) => (['new', 'active', 'touched'].includes(row.state) ? 'accent' : 'muted') },
      { name: 'Bottom', width: 12, numeric: true, text: (row) => fixed(row.bot, pricePlaces(app, row.ins)), value: (row) => row.bot },
      { name: 'Top', width: 12, numeric: true, text: (row) => fixed(row.top, pricePlaces(app, row.ins)), value: (row) => row.top },
      { name: 'Why', width: 40, text: (row) => row.why },
    ],
  });
}

function log(app: App): Blotter {
  return blotter<LogLine>('Log', ['log'], {
    name: 'log',
    empty: 'nothing was said yet',
    rows: () => [...app.store.log].reverse(),
    columns: [
      time(app),
      { name: 'Level', width: 9, text: (row) => row.level.toLowerCase(), tone: (row) => (/ERR|CRIT/i.test(row.level) ? 'down' : /WARN/i.test(row.level) ? 'warn' : 'muted') },
      { name: 'Source', width: 18, text: (row) => row.src, tone: () => 'muted' },
      { name: 'Text', width: 60, text: (row) => row.text },
    ],
  });
}

function commands(app: App): Blotter {
  return blotter<Sent & { ts: number }>('Commands', ['log'], {
    name: 'commands',
    empty: 'no command was sent from this browser',
    rows: () => app.commands.sent.map((sent): Sent & { ts: number } => ({ ...sent, ts: sent.at })).reverse(),
    columns: [
      time(app),
      { name: 'Action', width: 14, text: (row) => row.action },
      { name: 'Symbol', width: 16, text: (row) => (row.ins ? symbolOf(row.ins) : 'all') },
      { name: 'Outcome', width: 11, text: (row) => row.result?.outcome ?? 'sent …', tone: (row) => ({ done: 'up', refused: 'warn', failed: 'down' })[row.result?.outcome ?? 'done'] ?? '' },
      { name: 'Latency', width: 10, numeric: true, text: (row) => (row.result ? `${fixed(row.result.ms, 0)} ms` : '–') },
      { name: 'Answer', width: 50, text: (row) => row.result?.why ?? '' },
    ],
  });
}
