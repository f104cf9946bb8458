import { beforeEach, describe, expect, it, vi } from 'vitest';
import { Fixture } from '../../dev/fixture.ts';
import { BUCKET_FIELDS } from '../store/columns.ts';
import { Link } from '../store/link.ts';
import { Store } from '../store/store.ts';
import { Api } from './api.ts';
import { Feed } from './feed.ts';
import type { Bucket, DeltaFrame, SnapFrame, Status } from './protocol.ts';
import type { Transport, TransportEvents } from './transport.ts';

const INS = 'XRPUSDT-PERP.BINANCE';

/** A server in memory: it holds buckets, answers history, and notes what it was sent. */
class FakeTransport implements Transport {
  events!: TransportEvents;
  readonly sent: string[] = [];
  open(events: TransportEvents): void {
    this.events = events;
  }
  send(event: string): void {
    this.sent.push(event);
  }
  ask<T>(): Promise<T> {
    return Promise.reject(new Error('nobody answers'));
  }
}

function setup(count: number): { buckets: Bucket[]; fixture: Fixture; store: Store; feed: Feed; transport: FakeTransport; link: Link } {
  const fixture = new Fixture();
  const buckets = Array.from({ length: count }, () => fixture.bucket());
  const fetch = async (input: RequestInfo | URL): Promise<Response> => {
    const url = new URL(String(input), 'http://x');
    if (url.pathname.endsWith('/bars')) return Response.json({ ins: INS, tf: '', timeframes: [], bars: [] });
    expect(url.searchParams.get('ins')).toBe(INS);
    const [from, to] = [Number(url.searchParams.get('from')), Number(url.searchParams.get('to'))];
    const found = buckets.filter((bucket) => bucket.i >= from && bucket.i <= to);
    return Response.json(Object.fromEntries(BUCKET_FIELDS.map((field) => [field, found.map((bucket) => bucket[field])])));
  };
  const transport = new FakeTransport();
  const [store, link] = [new Store(() => undefined), new Link()];
  const feed = new Feed(transport, store, link, new Api(fetch));
  feed.start(() => undefined);
  return { buckets, fixture, store, feed, transport, link };
}

function snap(count: number): SnapFrame {
  const st = { mode: 'paper', instruments: [{ id: INS, tick: '0.0001', lot: '0.1', bucket_usd: 1, kind: 'buckets' }] } as unknown as Status;
  return { t: 'snap', epoch: 'a', seq: 7, ts: 0, age_ms: 0, role: 'operator', ins: INS, S: { st }, hist: { url: '/api/v1/history', from: 0, to: count - 1 } };
}

const delta = (from: number, e: DeltaFrame['e']): DeltaFrame => ({ t: 'd', epoch: 'a', from, seq: from + e.length, ts: 0, age_ms: 0, e });

describe('feed', () => {
  beforeEach(() => void vi.stubGlobal('window', globalThis));

  it('hands on what is wrong with the server, and that it is right again', () => {
    const { feed, link } = setup(1);
    feed.take({ ...snap(1), warn: 'no space left' });
    expect(link.warning).toBe('no space left');
    feed.take({ ...delta(7, []), warn: 'no space left' });
    expect(link.warning).toBe('no space left');
    feed.take(delta(7, []));
    expect(link.warning).toBeNull();
  });

  it('loads the newest 20,000 buckets and joins live ones without a gap', async () => {
    const { feed, store, fixture } = setup(23_000);
    feed.take(snap(23_000));
    feed.take(delta(7, [[8, 'bkt', fixture.bucket()], [9, 'bkt', fixture.bucket()]]));
    await vi.waitFor(() => expect(store.market.buckets.columns.length).toBe(20_002));
    const seqs = store.market.buckets.columns.column('i').subarray(0, 20_002);
    expect(seqs.every((seq, row) => seq === 3000 + row)).toBe(true);
  });

  it('loads older pages until the beginning', async () => {
    const { feed, store } = setup(23_000);
    feed.take(snap(23_000));
    await vi.waitFor(() => expect(store.market.buckets.columns.length).toBe(20_000));
    await feed.older();
    await feed.older();
    expect(store.market.buckets.columns.length).toBe(23_000);
  });

  it('starts with live buckets where there is no history yet', () => {
    const { feed, store, buckets } = setup(3);
    feed.take({ ...snap(3), hist: { url: '/api/v1/history', from: null, to: null } });
    feed.take(delta(7, [[8, 'bkt', buckets[0]!]]));
    expect(store.market.buckets.columns.length).toBe(1);
  });

  it('asks for a snapshot after a gap and is whole again with it', async () => {
    const { feed, store, transport, buckets } = setup(100);
    feed.take(snap(50));
    feed.take(delta(9, [[10, 'bkt', buckets[60]!]]));
    expect(transport.sent).toEqual(['resync']);
    feed.take({ ...snap(100), seq: 40 });
    await vi.waitFor(() => expect(store.market.buckets.columns.length).toBe(100));
  });

  it('counts the age of the trades of a node, and not those of a recording', () => {
    const { feed, link } = setup(10);
    const now = performance.now();
    feed.take(snap(10));
    feed.take(delta(7, [[8, 'hb', { last_tick_age_ms: 60_000, loop_lag_ms: 1 }]]));
    expect([link.freshness(now), link.isFeedDead(now)]).toEqual(['stale', true]);
    feed.take(delta(8, [[9, 'st', { mode: 'replay' } as Status]]));
    expect(link.freshness(now)).toBe('live');
  });

  it('does not go back to the former instrument for a snapshot that was under way', () => {
    const { feed, store } = setup(10);
    feed.take(snap(10));
    feed.view('ADAUSDT.BINANCE');
    feed.take(snap(10));
    expect(store.market.ins).toBe('ADAUSDT.BINANCE');
    feed.take({ ...snap(10), ins: 'ADAUSDT.BINANCE', hist: null });
    expect(store.market.ins).toBe('ADAUSDT.BINANCE');
    feed.take(snap(10)); // the server's own choice later counts again
    expect(store.market.ins).toBe(INS);
  });

  it('believes a server that goes on with the former instrument', () => {
    const { feed, store } = setup(10);
    feed.take(snap(10));
    feed.view('NONE.SUCH');
    const later = performance.now() + 4000;
    vi.spyOn(performance, 'now').mockReturnValue(later);
    feed.take(snap(10));
    vi.restoreAllMocks();
    expect(store.market.ins).toBe(INS);
  });

  it('says so when the connection is lost, and follows the next snapshot', () => {
    const { feed, link, transport } = setup(10);
    feed.take(snap(10));
    expect(link.connected).toBe(true);
    transport.events.lost(null);
    expect(link.connected).toBe(false);
    feed.take({ ...snap(10), epoch: 'b' });
    expect(link.connected).toBe(true);
  });
});
