/** Frames into the store: reducer, history, freshness. */
import type { Store } from '../store/store.ts';
import type { Link } from '../store/link.ts';
import type { Api } from './api.ts';
import type { BarsAnswer, Frame, HistoryColumns, Role, SnapFrame } from './protocol.ts';
import { FrameReducer } from './reducer.ts';
import type { Transport } from './transport.ts';

/** Buckets of one request, and how many are loaded at first; older ones come when somebody scrolls there. */
const PAGE = 5000;
const FIRST_ROWS = 20_000;
const RESYNC_AGAIN_MS = 3000;

interface History {
  url: string;
  from: number;
  to: number;
}

export class Feed {
  role: Role = 'viewer';
  private readonly reducer = new FrameReducer();
  private readonly transport: Transport;
  private readonly store: Store;
  private readonly link: Link;
  private readonly api: Api;
  private history: History | null = null;
  private paging = false;
  /** Instrument that was asked for: until its snapshot, one of the former may still be under way. */
  private wanted: { ins: string; until: number } | null = null;
  private resyncTimer = 0;

  constructor(transport: Transport, store: Store, link: Link, api: Api) {
    this.transport = transport;
    this.store = store;
    this.link = link;
    this.api = api;
  }

  start(refused: (reason: string) => void): void {
    this.transport.open({
      frame: (frame) => this.take(frame),
      lost: (reason) => {
        this.reducer.reset();
        this.wanted = null;
        this.link.lost(reason);
        this.store.touch('link');
        if (reason) refused(reason);
      },
    });
  }

  /** Show another instrument: the server answers with a snapshot. */
  view(ins: string): void {
    this.store.select(ins);
    this.reducer.reset();
    this.wanted = { ins, until: performance.now() + RESYNC_AGAIN_MS };
    this.transport.send('view', { ins });
  }

  take(frame: Frame): void {
    this.link.frame(frame.age_ms, performance.now());
    this.link.warning = frame.warn ?? null;
    this.store.touch('link');
    if (this.isOfFormer(frame)) return;
    const verdict = this.reducer.judge(frame);
    if (verdict === 'resync') this.resync();
    if (verdict !== 'apply') return;
    if (frame.t === 'snap') this.restore(frame);
    else for (const [, kind, payload] of frame.e) this.store.apply(kind, payload);
    this.hearFeed(frame);
  }

  /** A server that does not know the instrument goes on with the former, and is believed after a while. */
  private isOfFormer(frame: Frame): boolean {
    if (!this.wanted || frame.t !== 'snap') return false;
    if (frame.ins !== this.wanted.ins && performance.now() < this.wanted.until) return true;
    this.wanted = null;
    return false;
  }

  /** A recording's feed may be as dead as it was: nothing is traded on it. */
  private hearFeed(frame: Frame): void {
    const { status, tickAgeMs } = this.store;
    if (status?.mode !== 'live' && status?.mode !== 'paper') this.link.tick(null, performance.now());
    else if (frame.t === 'snap' || frame.e.some(([, kind]) => kind === 'hb' || kind === 'lat')) this.link.tick(tickAgeMs, performance.now());
  }

  /** Load a page of buckets older than those we hold; at the beginning, nothing happens. */
  async older(): Promise<void> {
    const { history, store } = this;
    const columns = store.market.buckets.columns;
    if (!history || this.paging || columns.length === 0) return;
    const first = columns.at('i', 0);
    if (first <= history.from) return;
    this.paging = true;
    try {
      await this.load(history.url, [Math.max(history.from, first - PAGE), first - 1]);
    } finally {
      this.paging = false;
    }
  }

  private resync(): void {
    this.transport.send('resync');
    clearTimeout(this.resyncTimer);
    // An answer can be lost with the connection's other troubles; asking twice does no harm.
    this.resyncTimer = window.setTimeout(() => {
      if (this.reducer.isWaiting) this.transport.send('resync');
    }, RESYNC_AGAIN_MS);
  }

  private restore(frame: SnapFrame): void {
    clearTimeout(this.resyncTimer);
    this.role = frame.role;
    if (frame.ins !== null && frame.ins !== this.store.market.ins) this.store.select(frame.ins);
    this.store.restore(frame);
    const { url, from, to } = frame.hist ?? {};
    this.history = url && typeof from === 'number' && typeof to === 'number' ? { url, from, to } : null;
    if (this.history) void this.loadFirst(this.history);
    void this.bars();
  }

  /** Load the klines of a timeframe, the node's first one by default. */
  async bars(timeframe = ''): Promise<void> {
    const { market } = this.store;
    if (!market.ins) return; // no node has told of an instrument yet
    const answer = await this.api.get<BarsAnswer>('/api/v1/bars', { ins: market.ins, tf: timeframe }).catch(() => null);
    if (!answer || this.store.market !== market) return;
    for (const name of answer.timeframes) market.barSeries(name);
    if (answer.bars.length) market.barSeries(answer.tf).restore(answer.bars);
    this.store.touch('bars');
  }

  /** Newest page first, so that a chart is seen before the rest arrives; the rest is put in front at once. */
  private async loadFirst(history: History): Promise<void> {
    const { from, to, url } = history;
    const pages: [from: number, to: number][] = [];
    for (let last = to; last >= from && last > to - FIRST_ROWS; last -= PAGE) pages.push([Math.max(from, last - PAGE + 1), last]);
    await this.load(url, ...pages.slice(0, 1));
    await this.load(url, ...pages.slice(1));
  }

  /** Load pages, newest first; the chart takes them in one go. */
  private async load(url: string, ...pages: [from: number, to: number][]): Promise<void> {
    const { market } = this.store;
    try {
      const answers = await Promise.all(pages.map(([from, to]) => this.api.get<HistoryColumns>(url, { ins: market.ins, from, to })));
      if (this.store.market !== market) return;
      const added = answers.map((columns) => market.buckets.prepend(columns));
      if (added.some((count) => count > 0)) this.store.touch('history');
    } catch (error) {
      this.store.apply('log', { ts: Date.now(), level: 'WARNING', src: 'terminal', text: `history: ${String(error)}` });
    }
  }
}
