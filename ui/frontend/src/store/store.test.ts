import { describe, expect, it, vi } from 'vitest';
import { Fixture } from '../../dev/fixture.ts';
import type { SnapFrame, Status } from '../net/protocol.ts';
import { Link } from './link.ts';
import { DEFAULTS, SettingsStore } from './settings.ts';
import { Store } from './store.ts';

const fixture = new Fixture();
const order = fixture.order('S1', 'entry', 'buy', 2.1, 1000);

function snap(S: SnapFrame['S']): SnapFrame {
  return { t: 'snap', epoch: 'e', seq: 5, ts: 0, age_ms: 0, role: 'operator', ins: null, S, hist: null };
}

describe('store', () => {
  it('calls a listener once per flush however many messages came', () => {
    const schedule = vi.fn();
    const store = new Store(schedule);
    const listener = vi.fn();
    store.on(['orders', 'fills'], listener);
    for (let count = 0; count < 5; count += 1) store.apply('ord', { ...order, filled: String(count) });
    expect(schedule).toHaveBeenCalledTimes(1);
    expect(listener).not.toHaveBeenCalled();
    store.flush();
    store.flush();
    expect(listener).toHaveBeenCalledTimes(1);
    expect(store.orders.get(order.coid)!.filled).toBe('4');
  });

  it('forgets what a snapshot does not hold', () => {
    const store = new Store(() => undefined);
    store.apply('ord', order);
    store.restore(snap({ pos: [], ord: [{ ...order, coid: 'other' }] }));
    expect([...store.orders.keys()]).toEqual(['other']);
  });

  it('keeps no figure of later where a snapshot of earlier tells none', () => {
    const store = new Store(() => undefined);
    const account = { ts: 9, equity: '1100', day_pnl: '100', dd_pct: 0, fees: '1', balances: {} };
    store.apply('acct', account);
    store.apply('risk', { limits: [{ name: 'day_loss', used: 1, limit: 2 }], trading: 'HALTED' });
    store.apply('lat', { feed_ms: [1, 2], decision_us: [1, 2], ack_ms: [1, 2], loop_lag_ms: 1, last_tick_age_ms: 70 });
    store.apply('st', { mode: 'live', killed: true } as Status);
    const heard = vi.fn();
    store.on(['account'], heard);
    store.flush();
    store.restore(snap({ st: { mode: 'replay' } as Status }));
    store.flush();
    expect([store.account, store.risk, store.latency, store.tickAgeMs, store.status!.mode]).toEqual([null, null, null, null, 'replay']);
    expect(heard).toHaveBeenCalledTimes(2);
    store.restore(snap({ acct: { ...account, equity: '1000' } }));
    expect(store.account!.equity).toBe('1000');
  });

  it('tells watchers of live messages and not of those in a snapshot', () => {
    const store = new Store(() => undefined);
    const watcher = vi.fn();
    store.watch(watcher);
    store.restore(snap({ ord: [order] }));
    expect(watcher).not.toHaveBeenCalled();
    store.apply('ord', order);
    expect(watcher).toHaveBeenCalledWith('ord', order);
  });

  it('leaves buckets of other instruments', () => {
    const store = new Store(() => undefined, 'OTHER');
    store.apply('bkt', fixture.bucket());
    expect(store.market.buckets.columns.length).toBe(0);
  });

  it('drops the oldest that have ended, never what lives', () => {
    const store = new Store(() => undefined);
    const zone = { ins: 'X', type: 'fvg', side: 1, i0: 0, i1: null, t0: 0, t1: null, top: 2, bot: 1, sweet: null, stop: null, targets: [], why: '' } as const;
    const position = { ins: 'X', qty: '0', avg: '1', upnl: null, rpnl: '0', r: null, stop: null, targets: [], since: 0, unprotected_ms: 0 };
    for (let n = 0; n < 5000; n += 1) {
      store.apply('ord', { ...order, coid: `o${n}`, status: n === 3 ? 'ACCEPTED' : 'CANCELED' });
      store.apply('zone', { ...zone, targets: [], id: `z${n}`, state: n === 3 ? 'active' : 'expired' });
      store.apply('pos', { ...position, setup: `p${n}`, side: n === 3 ? 'long' : 'flat' });
      store.apply('cancel', { setup: `c${n}`, ins: 'X', ts: n, p: null, thr: null, reason: '', outcome: null, would_r: null });
      store.apply('mdl', { ins: 'X', ts: n, i: n, setup: 'S', p: 0.2, thr: 0.3, verdict: 'keep', why: [], infer_us: null });
    }
    const maps = [store.orders, store.positions, store.cancels, store.decisions, store.zones];
    expect(maps.map((map) => map.size)).toEqual([501, 501, 500, 500, 1001]);
    expect([store.orders.has('o3'), store.zones.has('z3'), store.positions.has('X p3')]).toEqual([true, true, true]);
    expect([store.orders.has('o4'), store.orders.has('o4999')]).toEqual([false, true]);
  });

  it('keeps as many lines as a snapshot has', () => {
    const store = new Store(() => undefined);
    for (let n = 0; n < 700; n += 1) store.apply('log', { ts: n, level: 'INFO', src: '', text: String(n) });
    expect([store.log.length, store.log[0]!.text, store.log.at(-1)!.text]).toEqual([500, '200', '699']);
  });

  it('has what changed last behind all others, as the server has', () => {
    const store = new Store(() => undefined);
    for (const coid of ['a', 'b', 'c']) store.apply('ord', { ...order, coid });
    store.apply('ord', { ...order, coid: 'a', status: 'FILLED' });
    for (let n = 0; n < 499; n += 1) store.apply('ord', { ...order, coid: `o${n}`, status: 'FILLED' });
    expect([...store.orders.keys()].slice(0, 3)).toEqual(['b', 'c', 'a']);
    store.apply('ord', { ...order, coid: 'b', status: 'FILLED' });
    expect([...store.orders.keys()].slice(0, 2)).toEqual(['c', 'o0']);
  });

  it('forgets with a snapshot which of them had ended', () => {
    const store = new Store(() => undefined);
    for (let n = 0; n < 500; n += 1) store.apply('ord', { ...order, coid: `o${n}`, status: 'FILLED' });
    store.restore(snap({ ord: [{ ...order, coid: 'o0', status: 'FILLED' }] }));
    for (let n = 0; n < 499; n += 1) store.apply('ord', { ...order, coid: `p${n}`, status: 'FILLED' });
    expect([store.orders.size, store.orders.has('o0')]).toEqual([500, true]);
  });

  it('counts orders as working until they end', () => {
    const store = new Store(() => undefined);
    for (const [index, status] of ['ACCEPTED', 'PARTIALLY_FILLED', 'FILLED', 'CANCELED', 'REJECTED'].entries()) {
      store.apply('ord', { ...order, coid: `c${index}`, status });
    }
    expect(store.workingOrders().map((one) => one.status)).toEqual(['ACCEPTED', 'PARTIALLY_FILLED']);
  });

  it('keeps the status that was said last', () => {
    const store = new Store(() => undefined);
    store.apply('st', { mode: 'paper' } as Status);
    store.apply('st', { mode: 'live' } as Status);
    expect(store.status!.mode).toBe('live');
  });
});

describe('link', () => {
  it('judges by the age of the node, also without new frames', () => {
    const link = new Link();
    expect(link.freshness(0)).toBe('none');
    link.frame(100, 1000);
    expect([1000, 2800, 3000, 10_800, 11_000].map((now) => link.freshness(now))).toEqual(['live', 'live', 'stale', 'stale', 'none']);
  });

  it('is stale while the node beats and no trade comes', () => {
    const link = new Link();
    link.frame(0, 100_000);
    link.tick(29_000, 100_000);
    expect([link.freshness(100_500), link.isFeedDead(100_500)]).toEqual(['live', false]);
    link.frame(0, 102_000);
    expect([link.freshness(102_000), link.isFeedDead(102_000), link.feedAge(102_000)]).toEqual(['stale', true, 31_000]);
    link.tick(10, 102_000);
    expect(link.freshness(102_001)).toBe('live');
  });

  it('is not alive while no node was heard', () => {
    const link = new Link();
    link.frame(null, 1000);
    expect(link.freshness(1001)).toBe('none');
  });

  it('is stale at once when the connection is lost', () => {
    const link = new Link();
    link.frame(0, 1000);
    link.lost();
    expect(link.freshness(1001)).toBe('stale');
  });
});

describe('settings', () => {
  function storage(text: string | null): { getItem: () => string | null; setItem: (key: string, value: string) => void; removeItem: () => void; text: () => string | null } {
    let kept = text;
    return { getItem: () => kept, setItem: (_key, value) => void (kept = value), removeItem: () => void (kept = null), text: () => kept };
  }

  it('come back as they were kept', () => {
    const disk = storage(null);
    new SettingsStore(disk).set({ zone: 'Asia/Tokyo', paneHeights: { price: 300 } });
    const again = new SettingsStore(disk).current;
    expect([again.zone, again.paneHeights.price, again.theme]).toEqual(['Asia/Tokyo', 300, 'dark']);
  });

  it.each(['not json', '{"version":99,"settings":{"zone":"Asia/Tokyo"}}', '{"version":1,"settings":{"zone":7,"overlays":5}}', 'null'])(
    'fall back to the defaults for %s', (text) => {
      expect(new SettingsStore(storage(text)).current).toEqual(DEFAULTS);
    },
  );

  it('are reset to the defaults, but keep the instrument', () => {
    const settings = new SettingsStore(storage(null));
    settings.set({ ins: 'A', theme: 'light' });
    settings.reset();
    expect([settings.current.ins, settings.current.theme]).toEqual(['A', 'dark']);
  });
});
