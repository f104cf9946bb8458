/** Journal: what happened, filtered, page by page; and the story of a trade. */
import type { App } from '../app.ts';
import { h, replace } from '../lib/dom.ts';
import { decimal, duration, fixed, percent, signed, signTone, symbolOf, words } from '../lib/format.ts';
import { skipWords } from '../lib/reasons.ts';
import { VirtualTable, type ColumnSpec } from '../views/table.ts';
import { failure, type Page } from './page.ts';
import { asOfWords, facts, textOf, tiles, type Scope, type Tile } from './parts.ts';
import { factorTable } from '../views/signal-card.ts';
import { factorText } from '../lib/factors.ts';

type Row = Record<string, unknown> & { ts_ns?: number };
interface Answer {
  next: string | null;
  of: Scope;
  [table: string]: Row[] | Scope | string | null;
}
interface Story {
  trade: Row;
  session: Row;
  probability: number | null;
  threshold: number | null;
  steps: { ts_ns: number; table: string; what: string; facts: Record<string, unknown> }[];
}

const NS_PER_MS = 1e6;
const PAGE_ROWS = 500;
/** How long after a signal its entry leaves, at the most. */
const ENTERED_MS = 60_000;
const MONEY = new Set(['pnl', 'fees', 'money', 'commission']);

/** Columns of each table: name, title, width; a minus before the name of numbers. */
const TABLES: Record<string, [string, string, number][]> = {
  trades: [['instrument_id', 'Symbol', 16], ['side', 'Side', 7], ['entry_price', '-Entry', 12], ['exit_price', '-Exit', 12], ['qty', '-Qty', 11], ['pnl', '-PnL', 11], ['r_multiple', '-R', 8], ['fees', '-Fees', 10], ['exit_reason', 'Exit', 14], ['held_secs', '-Held', 9], ['setup_id', 'Setup', 18]],
  signals: [['instrument_id', 'Symbol', 16], ['side', 'Side', 7], ['is_taken', 'Taken', 8], ['skip_reason', 'Skipped for', 18], ['price', '-Price', 12], ['stop', '-Stop', 12], ['target', '-Target', 12], ['confidence', '-Conf.', 8], ['timeframe', 'TF', 6], ['factors', 'Factors', 40]],
  decisions: [['instrument_id', 'Symbol', 16], ['kind', 'Kind', 22], ['side', 'Side', 7], ['price', '-Price', 12], ['probability', '-p', 8], ['threshold', '-Threshold', 10], ['reason', 'Reason', 18], ['setup_id', 'Setup', 18], ['detail', 'Detail', 40]],
  orders: [['instrument_id', 'Symbol', 16], ['event', 'Event', 20], ['leg', 'Leg', 8], ['side', 'Side', 7], ['order_type', 'Type', 14], ['qty', '-Qty', 11], ['price', '-Price', 12], ['trigger_price', '-Trigger', 12], ['reason', 'Reason', 18], ['client_order_id', 'Order', 28]],
  fills: [['instrument_id', 'Symbol', 16], ['leg', 'Leg', 8], ['side', 'Side', 7], ['price', '-Price', 12], ['qty', '-Qty', 11], ['commission', '-Fee', 12], ['commission_currency', '', 6], ['liquidity', 'Liquidity', 10], ['setup_id', 'Setup', 18]],
  cancels: [['instrument_id', 'Symbol', 16], ['step', 'Step', 14], ['probability', '-p', 8], ['threshold', '-Threshold', 10], ['outcome', 'Outcome', 18], ['net_r', '-Net R', 8], ['money', '-Money', 10], ['after_ms', '-After ms', 10], ['setup_id', 'Setup', 18]],
  sessions: [['mode', 'Mode', 10], ['strategy', 'Strategy', 14], ['strategy_version', 'Version', 8], ['instruments', 'Instruments', 30], ['code_version', 'Code', 14], ['session_id', 'Session', 40]],
};

export function open(app: App): Page {
  let name = 'trades';
  let rows: Row[] = [];
  let next: string | null = null;
  let table: VirtualTable<Row>;
  const frame = h('div.table-frame.tall');
  const words_ = h('p.muted.small', { role: 'status' });
  const more = h<HTMLButtonElement>('button.btn', { hidden: true, onclick: () => void load(true) }, 'Older rows');
  const story = h('section.block.story', { hidden: true, 'aria-label': 'story of the trade' });
  const fields = filters();
  const tabs = h('div.segment', { role: 'group', 'aria-label': 'tables' });

  const load = async (isMore: boolean): Promise<void> => {
    try {
      const query = { ...fields.values(), limit: PAGE_ROWS, ...(isMore && next ? { cursor: next } : {}) };
      const source = name === 'orders' ? { source: 'journal' } : {};
      const answer = await app.api.get<Answer>(`/api/v1/${name}`, { ...query, ...source });
      const found = answer[name] as Row[];
      rows = isMore ? [...rows, ...found] : found;
      next = answer.next;
      more.hidden = next === null;
      const asOf = asOfWords(answer.of, app.clock());
      const story = name === 'signals' ? 'a signal' : 'a trade';
      replace(words_, `${rows.length} rows${asOf && ` ${asOf}`}${next ? ', there are more' : ''}; Enter, a double click or a second tap opens the story of ${story}`);
      table.refresh();
    } catch (error) {
      replace(words_, failure(error));
    }
  };
  const choose = (chosen: string): void => {
    name = chosen;
    rows = [];
    for (const button of tabs.children) button.setAttribute('aria-pressed', String(button.textContent === words(chosen)));
    table = new VirtualTable<Row>({
      name: chosen, columns: columns(app, TABLES[chosen]!), rows: () => rows, empty: 'nothing in the journal',
      open: (row) => {
        if (name === 'signals') return tellSignal(app, story, row);
        if (row['setup_id'] && name !== 'sessions') void tell(app, story, row);
      },
    });
    replace(frame, table.element);
    void load(false);
  };
  for (const one of Object.keys(TABLES)) tabs.append(h('button', { onclick: () => choose(one) }, words(one)));
  fields.element.addEventListener('submit', (event) => {
    event.preventDefault();
    void load(false);
  });
  const csv = h('button.btn', { onclick: () => table.csv() }, 'CSV');
  const element = h('main.page', {}, h('h1', {}, 'Journal'), h('div.form-line', {}, tabs, fields.element, csv), words_, h('div.columns.story-columns', {}, h('div', {}, frame, more), story));
  choose(name);
  return { element, leave: () => undefined };
}

/** Fields above the table; empty ones do not filter. */
function filters(): { element: HTMLFormElement; values(): Record<string, string> } {
  const mode = h<HTMLSelectElement>('select.field', { name: 'mode', 'aria-label': 'mode' }, ...['', 'live', 'paper', 'backtest'].map((one) => h('option', { value: one }, one || 'any mode')));
  const instrument = h<HTMLInputElement>('input.field', { name: 'instrument', placeholder: 'XRPUSDT.BINANCE', 'aria-label': 'instrument' });
  const session = h<HTMLInputElement>('input.field', { name: 'session', placeholder: 'session', 'aria-label': 'session' });
  const from = h<HTMLInputElement>('input.field', { name: 'from', type: 'datetime-local', 'aria-label': 'from, UTC', title: 'from, UTC' });
  const to = h<HTMLInputElement>('input.field', { name: 'to', type: 'datetime-local', 'aria-label': 'to, UTC', title: 'to, UTC' });
  const element = h<HTMLFormElement>('form.form-line', {}, mode, instrument, session, named('from (UTC)', from), named('to (UTC)', to), h('button.btn.primary', { type: 'submit' }, 'Filter'));
  const values = (): Record<string, string> => {
    const given = [mode, instrument, session, from, to].filter((field) => field.value);
    return Object.fromEntries(given.map((field) => [field.name, field.type === 'datetime-local' ? `${field.value}Z` : field.value]));
  };
  return { element, values };
}

/** An empty field of a date does not say which it is. */
const named = (name: string, field: HTMLElement): HTMLElement => h('label.named', {}, h('span.muted.small', {}, name), field);

const momentOf = (row: Row): number => Number(row.ts_ns ?? row['exit_ts_ns'] ?? 0) / NS_PER_MS;

function columns(app: App, specs: [string, string, number][]): ColumnSpec<Row>[] {
  const time: ColumnSpec<Row> = { name: 'Time', width: 21, text: (row) => app.clock().stamp(momentOf(row)), value: momentOf, tone: () => 'muted' };
  const rest = specs.map(([field, title, width]): ColumnSpec<Row> => {
    const numeric = title.startsWith('-');
    return {
      name: numeric ? title.slice(1) : title, width, numeric,
      text: (row) => cellText(field, row[field]),
      value: (row) => (numeric ? Number(row[field] ?? NaN) : String(row[field] ?? '')),
      tone: (row) => cellTone(field, row[field]),
    };
  });
  return [time, ...rest];
}

function cellText(field: string, value: unknown): string {
  if (value === null || value === undefined) return '';
  if (field === 'instrument_id') return symbolOf(String(value));
  if (field === 'is_taken') return value ? '● taken' : '○ skipped';
  if (field === 'factors') return factorText(numbersOf(value)) || 'none';
  if (field === 'skip_reason') return skipWords(String(value));
  if (field === 'held_secs') return duration(Number(value) * 1000);
  if (field === 'r_multiple' || field === 'net_r') return signed(Number(value), 2);
  if (MONEY.has(field)) return fixed(Number(value), 2);
  if (typeof value === 'string' && /^-?\d+\.\d+$/.test(value)) return decimal(String(Number(Number(value).toPrecision(9))));
  return textOf(value);
}

function cellTone(field: string, value: unknown): string {
  if (field === 'side') return /^(long|buy)/i.test(String(value)) ? 'up' : 'down';
  if (['pnl', 'r_multiple', 'net_r', 'money'].includes(field)) return signTone(Number(value));
  return field.endsWith('_id') && field !== 'instrument_id' ? 'muted' : '';
}

/** How a trade came about, step by step. */
async function tell(app: App, target: HTMLElement, row: Row): Promise<void> {
  target.hidden = false;
  replace(target, h('p.muted', {}, 'reading …'));
  try {
    const story = await app.api.get<Story>(`/api/v1/trades/${encodeURIComponent(String(row['setup_id']))}/explain`, { session: row['session_id'] as string | undefined });
    replace(target, ...storyParts(app, story));
  } catch (error) {
    replace(target, failure(error));
  }
}

/** Why a signal was taken or left: its factors and reasons with numbers; where a trade came of it, that one's story follows. */
function tellSignal(app: App, target: HTMLElement, row: Row): void {
  target.hidden = false;
  const detail = recordOf(row['detail']);
  const ins = String(row['instrument_id']);
  const said = cellText('is_taken', row['is_taken']);
  const figures = tiles([
    ['Signal', said], ['Confidence', percent(Number(row['confidence'] ?? NaN), 0)],
    ...(row['skip_reason'] ? [['Skipped for', skipWords(String(row['skip_reason']))] as Tile] : []),
  ]);
  void modelOf(app, row).then((said) => said && target.contains(figures[0]!) && figures[0]!.after(...tiles([['Model', said]])));
  const show = h('button.btn.tiny', { onclick: () => app.show(ins, momentOf(row)) }, 'Show on the chart');
  const story = row['is_taken'] ? h('button.btn.tiny', { onclick: () => void tellTrade(app, target, row) }, 'Story of the trade') : null;
  const { price, stop, target: aim, qty } = row;
  replace(
    target, h('div.form-line', {}, h('h2', {}, `${symbolOf(ins)} ${String(row['side'])}`), show, story), h('div.tiles', {}, ...figures),
    factorTable(numbersOf(row['factors'])), ...reasonParts(detail), facts({ price, stop, target: aim, qty }), allFigures(detail),
  );
}

/** The decision of a kind that a signal was, or led to, within some time. */
async function decisionOf(app: App, row: Row, kind: string, withinMs: number): Promise<Row | undefined> {
  const ms = Math.floor(momentOf(row));
  const query = { instrument: String(row['instrument_id']), session: row['session_id'] as string | undefined, kind, from: String(ms), to: String(ms + withinMs) };
  const { decisions } = await app.api.get<{ decisions: Row[] }>('/api/v1/decisions', query);
  return decisions.find((one) => one['zone_id'] === row['signal_id']);
}

/** What a model of signals said is with the decision that a signal was; nothing of a zone, which is asked about later. */
async function modelOf(app: App, row: Row): Promise<string> {
  try {
    const decision = await decisionOf(app, row, row['is_taken'] ? 'signal_taken' : 'signal_skipped', 2);
    return decision ? asked(decision) : '';
  } catch {
    return 'cannot be read now';
  }
}

/** A signal is on record before its entry has an id: that stands with the entry. */
async function tellTrade(app: App, target: HTMLElement, row: Row): Promise<void> {
  try {
    const entry = row['setup_id'] ? row : await decisionOf(app, row, 'entry_submitted', ENTERED_MS);
    if (!entry) return replace(target, h('p.muted', {}, 'no entry of this signal is in the journal'));
    // A story is told of what has ended.
    const { trades } = await app.api.get<{ trades: Row[] }>('/api/v1/trades', { setup: String(entry['setup_id']), session: entry['session_id'] as string | undefined });
    if (trades.length) return await tell(app, target, entry);
    replace(target, h('p.muted', {}, 'the trade of this signal is not closed yet: its story is told then'));
  } catch (error) {
    replace(target, failure(error));
  }
}

/** Probability and threshold of what asked a model; "not asked" where none was. */
function asked(facts_: Record<string, unknown> | undefined): string {
  const [p, threshold] = [facts_?.['probability'], facts_?.['threshold']];
  return typeof threshold === 'number' ? `${percent(typeof p === 'number' ? p : null)} / ${percent(threshold)}` : 'not asked';
}

const recordOf = (value: unknown): Record<string, unknown> => (typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {});
const numbersOf = (value: unknown): Record<string, number> => Object.fromEntries(Object.entries(recordOf(value)).filter(([, one]) => typeof one === 'number')) as Record<string, number>;

/** What a detail says in words: why a score is what it is, and why it did not do. */
function reasonParts(detail: Record<string, unknown>): HTMLElement[] {
  return ['why', 'text'].filter((name) => detail[name]).map((name) => h('p.why', {}, String(detail[name])));
}

/** What a model could see and the like: there for who asks. */
function allFigures(detail: Record<string, unknown>): HTMLElement | null {
  const { why, text, ...rest } = detail;
  return Object.keys(rest).length ? h('details.small', {}, h('summary.muted', {}, `all ${Object.keys(rest).length} figures`), facts(rest)) : null;
}

const FACTOR = 'factor_';

/** What a step of a story says; the detail of a signal is a score, reasons, and many figures. */
function stepParts(facts_: Record<string, unknown>): (HTMLElement | null)[] {
  const detail = recordOf(facts_['detail']);
  const points = Object.entries(detail).filter(([name, value]) => name.startsWith(FACTOR) && typeof value === 'number');
  if (!detail['why'] && !points.length) return [facts(told(facts_))];
  return [facts(told({ ...facts_, detail: null })), factorTable(Object.fromEntries(points.map(([name, value]) => [name.slice(FACTOR.length), value as number]))), ...reasonParts(detail), allFigures(detail)];
}

/** Codes of reasons in words. */
function told(facts_: Record<string, unknown>): Record<string, unknown> {
  const { skip_reason, reason } = facts_;
  return { ...facts_, ...(skip_reason ? { skip_reason: skipWords(String(skip_reason)) } : {}), ...(reason ? { reason: skipWords(String(reason)) } : {}) };
}

function storyParts(app: App, { trade, probability, threshold, steps }: Story): HTMLElement[] {
  const list = h('ol.steps');
  for (const step of steps) {
    list.append(h('li', {}, h('div.step-head', {}, h('b', {}, words(step.what)), h('span.tag.muted', {}, step.table), h('span.spring'), h('span.num.muted', {}, app.clock().stamp(step.ts_ns / NS_PER_MS))), ...stepParts(step.facts)));
  }
  const r = Number(trade['r_multiple'] ?? NaN);
  const figures = tiles([
    ['R', signed(r, 2), r], ['PnL', signed(Number(trade['pnl'] ?? NaN), 2), Number(trade['pnl'])], ['Exit', words(String(trade['exit_reason'] ?? ''))],
    // A model of signals was asked before there was an entry: its answer is with the signal.
    ['Model', asked(probability === null ? steps.find((step) => step.what.startsWith('signal_'))?.facts : { probability, threshold })],
  ]);
  const show = h('button.btn.tiny', { onclick: () => app.show(String(trade['instrument_id']), Number(trade['entry_ts_ns']) / NS_PER_MS) }, 'Show on the chart');
  return [h('div.form-line', {}, h('h2', {}, `${symbolOf(String(trade['instrument_id']))} ${String(trade['side'])}`), show), h('div.tiles', {}, ...figures), list];
}
