/** The fixture in the place of server and node: snapshots, deltas, history and commands, all in the page. */
import type { DeltaFrame, Frame, HistoryColumns, Kind, Payloads, Position, SnapshotState, Status } from '../src/net/protocol.ts';
import type { Transport, TransportEvents } from '../src/net/transport.ts';
import { BUCKET_FIELDS } from '../src/store/columns.ts';
import { Fixture, makeBars, type Message } from './fixture.ts';

export interface FakeOptions {
  mode: Status['mode'];
  role: 'viewer' | 'operator';
  buckets: number;
  /** Zones of the history, about. */
  zones: number;
  /** Updates a second; every fifth closes a bucket. */
  rate: number;
  instruments: number;
}

const OTHERS = ['BTCUSDT', 'ETHUSDT', 'SOLUSDT', 'ADAUSDT', 'DOGEUSDT', 'LINKUSDT', 'AVAXUSDT', 'LTCUSDT', 'DOTUSDT', 'NEARUSDT'];
const CLOSED = { USDT: { n: 3, pnl: '12.4', r: 1.37 } };
const CLOSE_EVERY = 5;
const UPSERTS = new Set<Kind>(['zone', 'mdl', 'ord', 'pos', 'cancel']);

export class FakeServer implements Transport {
  private readonly options: FakeOptions;
  private readonly fixture: Fixture;
  private readonly history: HistoryColumns;
  private readonly state: Required<Pick<SnapshotState, 'zone' | 'sig' | 'mdl' | 'ord' | 'fill' | 'cancel' | 'log'>> = { zone: [], sig: [], mdl: [], ord: [], fill: [], cancel: [], log: [] };
  private position: Position;
  private readonly status: Status;
  private events: TransportEvents | null = null;
  private seq = 100;
  private updates = 0;

  constructor(options: FakeOptions) {
    this.options = options;
    this.fixture = new Fixture({ zoneRate: (1000 * options.zones) / options.buckets, start: Date.now() - options.buckets * 1300 });
    this.history = { ins: this.fixture.ins, ...Object.fromEntries(BUCKET_FIELDS.map((field) => [field, []])) } as unknown as HistoryColumns;
    for (let index = 0; index < options.buckets; index += 1) this.advance();
    const last = this.history.c.at(-1)!;
    this.position = {
      ins: this.fixture.ins, setup: 'Lmk0x', side: 'long', qty: '482.3', avg: (last * 0.998).toFixed(4), upnl: '9.64', rpnl: '0', r: 1.1,
      stop: (last * 0.9965).toFixed(4), targets: [(last * 1.0042).toFixed(4)], since: this.fixture.clock - 90_000, unprotected_ms: 84,
    };
    this.state.ord.push(
      { ...this.fixture.order('Lmk0x', 'stop', 'sell', last * 0.9965, this.fixture.clock - 89_000) },
      { ...this.fixture.order('Lmk0x', 'target', 'sell', last * 1.0042, this.fixture.clock - 89_000) },
      { ...this.fixture.order('Lmk1y', 'entry', 'buy', last * 0.9975, this.fixture.clock - 20_000) },
    );
    this.status = this.makeStatus();
  }

  open(events: TransportEvents): void {
    this.events = events;
    setTimeout(() => this.snapshot(), 20);
    if (this.options.rate > 0) setInterval(() => this.tick(), 1000 / this.options.rate);
    setInterval(() => this.deliver([]), 500);
  }

  send(event: string, data?: unknown): void {
    if (event === 'resync' || event === 'view') setTimeout(() => this.snapshot(), 5);
    else if (event === 'replay') Object.assign(this.status.replay ?? {}, data);
  }

  async ask<T>(_event: string, data: unknown): Promise<T> {
    await new Promise((resolve) => setTimeout(resolve, 40));
    const { id, action } = data as { id: string; action: string };
    if (action === 'pause' || action === 'resume') this.status.paused = action === 'pause' ? ['*'] : [];
    if (action === 'kill' || action === 'rearm') this.status.killed = action === 'kill';
    if (action === 'close' || action === 'flatten') this.position = { ...this.position, side: 'flat', qty: '0' };
    this.deliver([['st', { ...this.status }], ['pos', this.position]]);
    return { id, outcome: 'done', why: '', ms: 40 } as T;
  }

  /** In the place of `fetch` for the requests that the terminal itself makes. */
  fetch = async (input: RequestInfo | URL): Promise<Response> => {
    const url = new URL(String(input), location.href);
    if (url.pathname.endsWith('/session')) return json({ user: 'dev', role: this.options.role, csrf: 'x', mode: this.options.mode });
    if (url.pathname.endsWith('/history')) return json(this.slice(Number(url.searchParams.get('from')), Number(url.searchParams.get('to'))));
    if (url.pathname.endsWith('/bars')) return json({ ins: this.fixture.ins, tf: '5m', timeframes: ['5m'], bars: makeBars(this.fixture.ins, 600, this.fixture.clock - 600 * 300_000) });
    return json({ error: { code: 'absent', message: 'the fixture has no such answer' } }, 404);
  };

  /** Close many buckets, a hundred per frame. */
  async burst(count: number): Promise<void> {
    for (let done = 0; done < count; done += 100) {
      this.deliver(Array.from({ length: Math.min(100, count - done) }, () => this.advance()).flat());
      await new Promise(requestAnimationFrame);
    }
  }

  private advance(): Message[] {
    const bucket = this.fixture.bucket();
    for (const field of BUCKET_FIELDS) (this.history[field] as unknown[]).push(bucket[field]);
    const events = this.fixture.events(bucket);
    for (const message of events) this.remember(message);
    return [['bkt', bucket], ...events];
  }

  private remember([kind, payload]: Message): void {
    const list = (this.state as Record<string, unknown[] | undefined>)[kind] as { id?: string; coid?: string; setup?: string }[] | undefined;
    if (!list) return;
    const key = (one: { id?: string; coid?: string; setup?: string }): unknown => one.id ?? one.coid ?? one.setup;
    const known = UPSERTS.has(kind) ? list.findIndex((one) => key(one) === key(payload as never)) : -1;
    if (known >= 0) list[known] = payload as never;
    else list.push(payload as never);
  }

  private slice(from: number, to: number): HistoryColumns {
    const columns = Object.fromEntries(BUCKET_FIELDS.map((field) => [field, (this.history[field] as unknown[]).slice(from, to + 1)]));
    return { ins: this.fixture.ins, ...columns } as unknown as HistoryColumns;
  }

  private tick(): void {
    this.updates += 1;
    const phase = this.updates % CLOSE_EVERY;
    const messages: Message[] = phase === 0 ? this.advance() : [['dev', this.fixture.developing(phase / CLOSE_EVERY)]];
    const last = this.history.c.at(-1)!;
    const upnl = (last - Number(this.position.avg)) * Number(this.position.qty);
    if (this.position.side === 'long') messages.push(['pos', (this.position = { ...this.position, upnl: upnl.toFixed(2), r: upnl / 8 })]);
    if (this.updates % 20 === 0) messages.push(['acct', { ts: Date.now(), equity: (10_243.11 + upnl).toFixed(2), day_pnl: (43.2 + upnl).toFixed(2), dd_pct: 1.24, fees: '3.11', balances: {}, closed: CLOSED }]);
    if (this.updates % 50 === 0) messages.push(['lat', { feed_ms: [4, 11], decision_us: [310, 820], ack_ms: [18, 46], loop_lag_ms: 1.1, last_tick_age_ms: 120 }]);
    this.deliver(messages);
  }

  private deliver(messages: Message[]): void {
    if (!this.events) return;
    const from = this.seq;
    const e = messages.map(([kind, payload]): DeltaFrame['e'][number] => [(this.seq += 1), kind, payload as Payloads[Kind]]);
    this.events.frame({ t: 'd', epoch: 'dev', from, seq: this.seq, ts: Date.now(), age_ms: 40, e });
  }

  private snapshot(): void {
    const frame: Frame = {
      t: 'snap', epoch: 'dev', seq: this.seq, ts: Date.now(), age_ms: 40, role: this.options.role, ins: this.fixture.ins,
      S: {
        ...structuredClone(this.state), st: { ...this.status }, pos: [this.position],
        acct: { ts: Date.now(), equity: '10243.11', day_pnl: '43.2', dd_pct: 1.24, fees: '3.11', balances: {}, closed: CLOSED },
        risk: { limits: [{ name: 'symbol_notional', used: 1054, limit: 2500 }, { name: 'daily_loss_pct', used: 0.4, limit: 3 }, { name: 'entries_per_min', used: 2, limit: 10 }], trading: 'ACTIVE' },
        lat: { feed_ms: [4, 11], decision_us: [310, 820], ack_ms: [18, 46], loop_lag_ms: 1.1, last_tick_age_ms: 120 },
      },
      hist: { url: '/api/v1/history', from: 0, to: this.history.i.length - 1 },
    };
    this.events?.frame(frame);
  }

  private makeStatus(): Status {
    const { ins } = this.fixture;
    const more = Array.from({ length: this.options.instruments - 1 }, (_, index) => `${OTHERS[index % OTHERS.length]}${index >= OTHERS.length ? index : ''}-PERP.BINANCE`);
    const replay = this.options.mode === 'replay' ? { from: this.fixture.clock - 3_600_000, to: this.fixture.clock + 3_600_000, at: this.fixture.clock, speed: 20, paused: false } : null;
    return {
      mode: this.options.mode, session: '20261121T081200Z', trader: 'OTE-001', version: '0.1.0', config_hash: '3c9bd9fd4284725c', paused: [], holds: [], halted: [], killed: false, kill_reason: null,
      instruments: [ins, ...more].map((id) => ({ id, tick: '0.0001', lot: '0.1', bucket_usd: 25_000, kind: 'buckets' })),
      models: [{ ins: '*', verdict: 'skill', threshold: 0.42, digest: 'a1b2' }], drift: null, replay,
    };
  }
}

function json(body: unknown, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'Content-Type': 'application/json' } });
}
