// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { App } from '../app.ts';
import { Clock } from '../lib/time.ts';
import { Api } from '../net/api.ts';
import type { Status } from '../net/protocol.ts';
import { Store } from '../store/store.ts';
import { BacktestForm, type Strategy } from './backtest-form.ts';
import { open as openBacktests } from './backtests.ts';
import { open as openJournal } from './journal.ts';
import { open as openModels } from './models.ts';
import { open as openOverview } from './overview.ts';
import { scopeWords, type Scope } from './parts.ts';

const STRATEGIES: Strategy[] = [
  { name: 'breakout', version: '1', summary: 'a breakout', parameters: [] },
  {
    name: 'ote', version: '1', summary: 'optimal trade entry',
    parameters: [
      { name: 'bucket_usd', type: 'float', default: 10000, doc: 'size', min: 1, max: 1e6 },
      { name: 'rearm_max', type: 'int', default: 0, doc: 'times', min: 0, max: null },
      { name: 'side', type: "'both' | 'long' | 'short'", default: 'both', doc: 'sides' },
      { name: 'ltf_secs', type: 'int', default: 300, doc: 'low timeframe' },
    ],
  },
];
const TRADE = { setup_id: 'S1', session_id: 'T', instrument_id: 'XRPUSDT.BINANCE', side: 'long', ts_ns: 1.7e18, entry_ts_ns: 1.7e18, r_multiple: 1.5, pnl: '12.50', exit_reason: 'target' };
const OF: Scope = { mode: 'paper', session: null, as_of: null };
const ANSWERS: Record<string, unknown> = {
  '/api/v1/signals/stats': { signals: 10, taken: 4, skipped: 6, average_confidence: 0.7, of: OF, skip_reasons: [{ reason: 'in_position', signals: 6 }] },
  '/api/v1/trades/stats': { trades: 4, wins: 3, average_r: 0.5, total_r: 2, of: OF },
  '/api/v1/signals/summary': { instruments: [{ instrument_id: 'XRPUSDT.BINANCE', signals: 10, taken: 4, last_24h: 2, last_ts_ns: 1.7e18 }] },
  '/api/v1/trades': { trades: [TRADE], next: null, of: OF },
  '/api/v1/decisions': { decisions: [{ session_id: 'other', setup_id: 'S1', probability: 0.1 }, { session_id: 'T', setup_id: 'S1', probability: 0.7 }], next: null, of: OF },
  '/api/v1/cancels': { cancels: [{ step: 'shadow', probability: 0.2, outcome: 'stop_hit', net_r: -1 }], next: null, of: OF },
  '/api/v1/trades/S1/explain': { trade: TRADE, session: {}, probability: 0.7, threshold: 0.4, steps: [{ ts_ns: 1.7e18, table: 'decisions', what: 'zone', facts: { reason: 'impulse' } }] },
  '/api/v1/models': { models: [
    { name: 'sample', error: null, passport: { verdict: 'skill', kind: 'cancel', features: ['vpin'], reasons: [], metrics: { auc: 0.61, reliability: [{ predicted: 0.5, observed: 0.55, n: 80 }] } } },
    { name: 'torn', error: 'not a passport', passport: {} },
  ] },
  '/api/v1/strategies': { strategies: STRATEGIES },
  '/api/v1/pairs': { pairs: [{ instrument: 'XRPUSDT.BINANCE' }] },
  '/api/v1/backtests': { backtests: [{ id: 'j1', state: 'done', progress: 1, asked: { strategy: 'ote' }, by: 'me', created: 1e12, started: 1e12, ended: 1e12 + 5000, error: null }] },
  '/api/v1/backtests/j1': { id: 'j1', state: 'done', progress: 1, asked: { strategy: 'ote' }, by: 'me', created: 1e12, started: 1e12, ended: 1e12 + 5000, error: null, result: { pnl: 12.5, win_rate: 0.6 }, files: {} },
};

const asked: string[] = [];

function app(): App {
  asked.length = 0;
  const api = new Api(async (input) => {
    asked.push(String(input));
    const body = ANSWERS[String(input).split('?')[0]!];
    return body ? Response.json(body) : Response.json({ error: { code: 'absent', message: 'no such thing' } }, { status: 404 });
  });
  api.session = { user: 'me', role: 'operator', csrf: 'x', mode: 'paper' };
  const store = new Store(() => undefined);
  store.apply('st', { mode: 'paper', instruments: [{ id: 'XRPUSDT.BINANCE', tick: '0.0001', lot: '1', bucket_usd: 1, kind: 'buckets' }], models: [{ ins: '*', verdict: 'skill', threshold: 0.4, digest: 'ab' }], drift: 'vpin moved' } as unknown as Status);
  return { api, store, clock: () => new Clock('UTC'), show: () => undefined } as unknown as App;
}

/** Text that the reader sees is parted by elements. */
const text = (element: HTMLElement): string => element.textContent!.replace(/\s+/g, ' ');

describe('pages', () => {
  beforeEach(() => document.body.replaceChildren());

  it('overview shows figures, symbols and why signals were skipped', async () => {
    const page = openOverview(app());
    document.body.append(page.element);
    await vi.waitFor(() => expect(text(page.element)).toContain('a position is open already'));
    expect(text(page.element)).toContain('Taken40.0%');
    expect(page.element.querySelector('.t-body .t-row')!.textContent).toContain('XRPUSDT');
    page.leave();
  });

  it('overview finds a symbol among many', async () => {
    const page = openOverview(app());
    document.body.append(page.element);
    await vi.waitFor(() => expect(page.element.querySelector('.t-body .t-row')).not.toBeNull());
    const filter = page.element.querySelector<HTMLInputElement>('[aria-label="filter the symbols"]')!;
    filter.value = 'DOGE';
    filter.dispatchEvent(new Event('input'));
    await vi.waitFor(() => expect(page.element.querySelector('.t-empty')!.textContent).toBe('nothing matches the filter'));
    page.leave();
  });

  it('overview says in words of its own that there are no klines to scan', async () => {
    ANSWERS['/api/v1/scan/volatility'] = { by: 'atr_pct', bars: 100, timeframes: [] };
    const page = openOverview(app());
    [...page.element.querySelectorAll('button')].find((one) => one.textContent === 'Scan')!.click();
    await vi.waitFor(() => expect(text(page.element)).toContain('the catalog has no klines to rank'));
    delete ANSWERS['/api/v1/scan/volatility'];
    page.leave();
  });

  it('overview says the server’s words when there is nothing to scan', async () => {
    const page = openOverview(app());
    [...page.element.querySelectorAll('button')].find((one) => one.textContent === 'Scan')!.click();
    await vi.waitFor(() => expect(page.element.querySelector('[role=alert]')!.textContent).toBe('no such thing'));
    page.leave();
  });

  it('models shows verdict, drift, reliability and the ledger', async () => {
    const page = openModels(app());
    await vi.waitFor(() => expect(page.element.querySelector('.reliability-dot')).not.toBeNull());
    await vi.waitFor(() => expect(text(page.element)).toContain('stop hit'));
    expect(text(page.element)).toContain('vpin moved');
    expect(text(page.element)).toContain('sampleskill');
    expect(text(page.element)).toContain('auc0.61');
    expect(text(page.element)).toContain('tornrefusednot a passport');
    page.leave();
  });

  it('models asks for what is served alone, and says of what the figures are', async () => {
    const page = openModels(app());
    await vi.waitFor(() => expect(page.element.querySelectorAll('.scope')).toHaveLength(2));
    const rows = asked.filter((one) => /trades|decisions|cancels/.test(one));
    expect(rows).toHaveLength(3);
    expect(rows.every((one) => one.includes('mode=served'))).toBe(true);
    expect(asked.find((one) => one.includes('decisions'))).toContain('kind=cancel_asked');
    expect(page.element.querySelector('.scope')!.textContent).toBe('of all paper sessions');
    expect(text(page.element)).toContain('of the 2 setups about which a model was asked last');
    // Of the session of the trade, not of another one's setup of the same id.
    expect(Number(page.element.querySelector('.reliability-dot')!.getAttribute('cx'))).toBeCloseTo(0.7 * 220);
    page.leave();
  });

  it('overview says of what the figures are', async () => {
    const page = openOverview(app());
    await vi.waitFor(() => expect(page.element.querySelector('.scope')!.textContent).toBe('of all paper sessions'));
    page.leave();
  });

  it.each([
    [{ mode: 'live', session: null, as_of: null }, 'of all LIVE sessions'], [{ mode: null, session: 'S1', as_of: null }, 'of the session S1'],
    [{ mode: null, session: null, as_of: null }, 'of all modes: live, paper and backtests'],
  ])('figures of %j are called so', (scope, said) => expect(scopeWords(scope)).toBe(said));

  it('pages of a replay say as of when they are, and scan nothing of later', async () => {
    OF.as_of = Date.UTC(2026, 2, 24, 13, 5, 20);
    try {
      const replay = app();
      replay.api.session!.mode = 'replay';
      const overview = openOverview(replay);
      const said = "as of the replay's time, 24 Mar 13:05:20.000";
      await vi.waitFor(() => expect(overview.element.querySelector('.scope')!.textContent).toBe(`of all paper sessions, ${said}`));
      expect(text(overview.element)).not.toContain('Scan');
      overview.leave();
      const journal = openJournal(replay);
      await vi.waitFor(() => expect(text(journal.element)).toContain(`1 rows ${said}`));
    } finally {
      OF.as_of = null;
    }
  });

  it('journal lists trades and tells the story of one', async () => {
    const page = openJournal(app());
    document.body.append(page.element);
    const grid = page.element.querySelector<HTMLElement>('[role=grid]')!;
    Object.defineProperty(grid, 'clientHeight', { value: 240 });
    await vi.waitFor(() => expect(grid.querySelector('.t-body .t-row')).not.toBeNull());
    grid.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true }));
    grid.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
    await vi.waitFor(() => expect(page.element.querySelector('.steps')!.textContent).toContain('impulse'));
  });

  it('journal tells why a signal was skipped, with factors, reasons and what a model said', async () => {
    const signal = {
      ts_ns: 1.7e18, session_id: 'T', instrument_id: 'XRPUSDT.BINANCE', side: 'short', is_taken: false, skip_reason: 'model', signal_id: 7, confidence: 0.35, setup_id: '',
      factors: { htf: 25, rsi: 10, fvg: 0 }, detail: { why: '4h bias is bearish', feature_rsi: 71 },
    };
    ANSWERS['/api/v1/signals'] = { signals: [signal], next: null, of: OF };
    const decided = ANSWERS['/api/v1/decisions'];
    ANSWERS['/api/v1/decisions'] = { decisions: [{ kind: 'signal_skipped', zone_id: 6, probability: 0.9, threshold: 0.5 }, { kind: 'signal_skipped', zone_id: 7, probability: 0.48, threshold: 0.55 }], next: null, of: OF };
    const page = openJournal(app());
    document.body.append(page.element);
    [...page.element.querySelectorAll('button')].find((one) => one.textContent === 'signals')!.click();
    const grid = page.element.querySelector<HTMLElement>('[role=grid]')!;
    Object.defineProperty(grid, 'clientHeight', { value: 240 });
    await vi.waitFor(() => expect(grid.querySelector('.t-body .t-row')).not.toBeNull());
    expect(text(grid)).toContain('Higher timeframe +25, RSI +10');
    grid.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowDown', bubbles: true }));
    grid.dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true }));
    await vi.waitFor(() => expect(text(page.element)).toContain('Model48.0% / 55.0%'));
    expect(text(page.element)).toContain('4h bias is bearish');
    expect(page.element.querySelectorAll('.story .factor')).toHaveLength(2);
    ANSWERS['/api/v1/decisions'] = decided;
  });

  it('backtests shows the runs and a result', async () => {
    const page = openBacktests(app());
    await vi.waitFor(() => expect(page.element.querySelector('.job-name')).not.toBeNull());
    page.element.querySelector<HTMLButtonElement>('.job-name')!.click();
    await vi.waitFor(() => expect(text(page.element)).toContain('PnL+12.50'));
    await vi.waitFor(() => expect(page.element.querySelector('form')).not.toBeNull());
    page.leave();
  });
});

describe('backtest form', () => {
  function form(run: (body: Record<string, unknown>) => Promise<void>): { own: BacktestForm; fill(name: string, value: string): void; submit(): void } {
    const own = new BacktestForm(STRATEGIES, run);
    document.body.replaceChildren(own.element);
    const fill = (name: string, value: string): void => {
      own.element.querySelector<HTMLInputElement>(`[name="${name}"]`)!.value = value;
    };
    return { own, fill, submit: () => void own.element.dispatchEvent(new Event('submit', { cancelable: true })) };
  }

  it('sends what was filled in and nothing else', async () => {
    const sent: Record<string, unknown>[] = [];
    const { fill, submit } = form(async (body) => void sent.push(body));
    fill('symbols', 'XRPUSDT.BINANCE, ADAUSDT.BINANCE');
    fill('parameters.bucket_usd', '5000');
    fill('timeframes.ltf', '5m');
    fill('commission.maker', '0.001');
    fill('balance', '1000');
    submit();
    await vi.waitFor(() => expect(sent).toHaveLength(1));
    expect(sent[0]).toEqual({
      strategy: 'ote', symbols: ['XRPUSDT.BINANCE', 'ADAUSDT.BINANCE'], parameters: { bucket_usd: '5000' }, timeframes: { ltf: '5m' },
      commission: { maker: 0.001, taker: 0.001 }, balance: 1000,
    });
  });

  it('offers the choices of a parameter and leaves roles to the timeframes', () => {
    const { own } = form(async () => undefined);
    const options = [...own.element.querySelectorAll('[name="parameters.side"] option')].map((one) => one.getAttribute('value'));
    expect(options).toEqual(['', 'both', 'long', 'short']);
    expect(own.element.querySelector('[name="parameters.ltf_secs"]')).toBeNull();
  });

  it('marks the field that the server refuses', async () => {
    const { own, submit } = form(() => Promise.reject(Object.assign(new Error('is not after start'), { field: 'end' })));
    submit();
    await vi.waitFor(() => expect(own.element.querySelector('[name=end]')!.getAttribute('aria-invalid')).toBe('true'));
    expect(own.element.querySelector('[role=alert]')!.textContent).toBe('end: is not after start');
  });

  it.each([
    ['bucket_usd', '0.5', 'is below 1'], ['bucket_usd', '2e6', 'is above 1000000'], ['bucket_usd', 'nan', 'is no number'], ['bucket_usd', 'Infinity', 'is no number'],
    ['rearm_max', '1.5', 'is no whole number'], ['rearm_max', '-1', 'is below 0'],
  ])('refuses %s = %s at its field', async (name, text, why) => {
    const run = vi.fn(async () => undefined);
    const { own, fill, submit } = form(run);
    fill(`parameters.${name}`, text);
    submit();
    const field = own.element.querySelector(`[name="parameters.${name}"]`)!;
    await vi.waitFor(() => expect(field.getAttribute('aria-invalid')).toBe('true'));
    expect(own.element.querySelector('[role=alert]')!.textContent).toContain(why);
    expect(run).not.toHaveBeenCalled();
    expect(own.element.querySelector('.parameter')!.getAttribute('title')).toBe('size (1 to 1000000)');
  });

  it('says what is no number before it asks the server', async () => {
    const run = vi.fn(async () => undefined);
    const { own, fill, submit } = form(run);
    fill('balance', 'much');
    submit();
    await vi.waitFor(() => expect(own.element.querySelector('[name=balance]')!.getAttribute('aria-invalid')).toBe('true'));
    expect(run).not.toHaveBeenCalled();
  });
});
