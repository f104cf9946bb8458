/** All that the node said, folded; views read it and are told by topic when it changed. */
import type {
  Account, Cancel, Decision, Fill, Kind, Latency, LogLine, Order, Payloads, Position, Risk, SnapFrame, Signal,
  SnapshotState, Status, Trade, Zone,
} from '../net/protocol.ts';
import { Market } from './market.ts';

export type Topic =
  | 'status' | 'account' | 'risk' | 'latency' | 'orders' | 'fills' | 'trades' | 'positions' | 'signals' | 'decisions'
  | 'cancels' | 'zones' | 'log' | 'buckets' | 'history' | 'bars' | 'link';

/** Exactly what the server keeps (`ui/terminal_state.py`): who comes later sees the same. */
const MAX_KEPT = 500;
const MAX_ZONES = 1000;
const ENDED_ZONES = new Set<Zone['state']>(['filled', 'mitigated', 'expired']);
export const CLOSED_ORDER = new Set(['FILLED', 'CANCELED', 'CANCELLED', 'REJECTED', 'EXPIRED', 'DENIED']);

/** Of orders that the venue has; one that is submitted only may never arrive. */
const RESTING = new Set(['ACCEPTED', 'TRIGGERED', 'PARTIALLY_FILLED', 'PENDING_UPDATE', 'PENDING_CANCEL']);

/** Keep the newest entries of an append-only list. */
function append<T>(list: T[], value: T): void {
  list.push(value);
  if (list.length > MAX_KEPT) list.shift();
}

/** A setup is asked about at several buckets; the reasons of one answer may come later. */
export const decisionKey = (decision: Decision): string => `${decision.ins} ${decision.setup} ${decision.i}`;
export const positionKey = (position: Position): string => `${position.ins} ${position.setup}`;
/** Traded by hand, by another program, or by the venue: no setup explains it, and it has no stop of ours. */
export const isExternal = (position: Position): boolean => position.setup === 'external';
export const isWorking = (order: Order): boolean => !CLOSED_ORDER.has(order.status.toUpperCase());

/** What lives is never dropped; a decision and a line of the ledger have ended at once. */
function hasEnded(topic: Topic, value: unknown): boolean {
  if (topic === 'zones') return ENDED_ZONES.has((value as Zone).state);
  if (topic === 'positions') return (value as Position).side === 'flat';
  return topic !== 'orders' || !isWorking(value as Order);
}

/** Things by key, what changed last behind all others; of those that have ended the last `limit`. */
class Keyed<T> extends Map<string, T> {
  private readonly ended = new Set<string>();

  put(key: string, value: T, topic: Topic): Topic {
    this.delete(key);
    this.set(key, value);
    this.ended.delete(key);
    if (hasEnded(topic, value)) this.ended.add(key);
    if (this.ended.size > (topic === 'zones' ? MAX_ZONES : MAX_KEPT)) {
      const [oldest] = this.ended;
      this.ended.delete(oldest!);
      this.delete(oldest!);
    }
    return topic;
  }

  override clear(): void {
    super.clear();
    this.ended.clear();
  }
}

export class Store {
  status: Status | null = null;
  account: Account | null = null;
  risk: Risk | null = null;
  latency: Latency | null = null;
  tickAgeMs: number | null = null;
  readonly orders = new Keyed<Order>();
  readonly positions = new Keyed<Position>();
  readonly zones = new Keyed<Zone>();
  readonly decisions = new Keyed<Decision>();
  readonly cancels = new Keyed<Cancel>();
  fills: Fill[] = [];
  trades: Trade[] = [];
  signals: Signal[] = [];
  log: LogLine[] = [];
  market: Market;
  private readonly dirty = new Set<Topic>();
  private readonly listeners: [ReadonlySet<Topic>, () => void][] = [];
  private readonly watchers: ((kind: Kind, payload: Payloads[Kind]) => void)[] = [];
  /** Asked once per batch of changes to call `flush` at the next frame. */
  private readonly schedule: () => void;

  constructor(schedule: () => void, ins = '') {
    this.schedule = schedule;
    this.market = new Market(ins);
  }

  /** Call `listener` at the next flush after any of the topics changed. */
  on(topics: Topic[], listener: () => void): void {
    this.listeners.push([new Set(topics), listener]);
  }

  /** Call `watcher` at once for every live message; not for those of a snapshot. */
  watch(watcher: (kind: Kind, payload: Payloads[Kind]) => void): void {
    this.watchers.push(watcher);
  }

  touch(topic: Topic): void {
    if (this.dirty.size === 0) this.schedule();
    this.dirty.add(topic);
  }

  flush(): void {
    if (this.dirty.size === 0) return;
    const changed = new Set(this.dirty);
    this.dirty.clear();
    for (const [topics, listener] of this.listeners) {
      for (const topic of topics) {
        if (changed.has(topic)) {
          listener();
          break;
        }
      }
    }
  }

  /** Show another instrument; what it needs comes with the next snapshot. */
  select(ins: string): void {
    this.market = new Market(ins);
    this.touch('history');
    this.touch('bars');
  }

  apply<K extends Kind>(kind: K, payload: Payloads[K]): void {
    this.fold(kind, payload);
    for (const watcher of this.watchers) watcher(kind, payload);
  }

  /** Begin anew with what a snapshot says. */
  restore(frame: SnapFrame): void {
    for (const map of [this.orders, this.positions, this.zones, this.decisions, this.cancels]) map.clear();
    this.fills = [];
    this.trades = [];
    this.signals = [];
    this.log = [];
    // What it does not tell was not known then: a figure of later would be looked at as one of now.
    this.account = this.risk = this.latency = this.status = this.tickAgeMs = null;
    this.market = new Market(this.market.ins);
    const state: SnapshotState = frame.S;
    for (const [kind, value] of Object.entries(state) as [Kind, Payloads[Kind] | Payloads[Kind][] | null][]) {
      if (Array.isArray(value)) for (const payload of value) this.fold(kind, payload);
      else if (value) this.fold(kind, value);
    }
    for (const topic of ['orders', 'fills', 'trades', 'positions', 'signals', 'decisions', 'cancels', 'zones', 'log', 'history', 'bars', 'status', 'account', 'risk', 'latency'] as const) {
      this.touch(topic);
    }
  }

  workingOrders(ins?: string): Order[] {
    return [...this.orders.values()].filter((order) => isWorking(order) && (!ins || order.ins === ins));
  }

  openPositions(ins?: string): Position[] {
    return [...this.positions.values()].filter((one) => one.side !== 'flat' && (!ins || one.ins === ins));
  }

  /** Whether a stop of a position rests at the venue; `stop` of the position itself is the plan. */
  hasStop(position: Position): boolean {
    for (const order of this.orders.values()) {
      if (order.role === 'stop' && order.setup === position.setup && order.ins === position.ins && RESTING.has(order.status.toUpperCase())) return true;
    }
    return false;
  }

  private fold<K extends Kind>(kind: K, payload: Payloads[K]): void {
    const fold = this.folds[kind] as (payload: Payloads[K]) => Topic | null;
    const topic = fold(payload);
    if (topic) this.touch(topic);
  }

  private add<T>(list: T[], value: T, topic: Topic): Topic {
    append(list, value);
    return topic;
  }

  private readonly folds: { [K in Kind]: (payload: Payloads[K]) => Topic | null } = {
    bkt: (bucket) => {
      if (bucket.ins !== this.market.ins) return null;
      if (this.market.buckets.close(bucket)) this.touch('history');
      return 'buckets';
    },
    dev: (bucket) => {
      if (bucket.ins !== this.market.ins) return null;
      this.market.buckets.develop(bucket);
      return 'buckets';
    },
    bar: (bar) => {
      if (bar.ins !== this.market.ins) return null;
      this.market.barSeries(bar.tf).update(bar);
      return 'bars';
    },
    zone: (zone) => this.zones.put(zone.id, zone, 'zones'),
    sig: (signal) => this.add(this.signals, signal, 'signals'),
    mdl: (decision) => this.decisions.put(decisionKey(decision), decision, 'decisions'),
    ord: (order) => this.orders.put(order.coid, order, 'orders'),
    fill: (fill) => this.add(this.fills, fill, 'fills'),
    trade: (trade) => this.add(this.trades, trade, 'trades'),
    pos: (position) => this.positions.put(positionKey(position), position, 'positions'),
    cancel: (cancel) => this.cancels.put(cancel.setup, cancel, 'cancels'),
    log: (line) => this.add(this.log, line, 'log'),
    acct: (account) => ((this.account = account), 'account'),
    risk: (risk) => ((this.risk = risk), 'risk'),
    st: (status) => ((this.status = status), 'status'),
    lat: (latency) => {
      this.latency = latency;
      this.tickAgeMs = latency.last_tick_age_ms;
      return 'latency';
    },
    hb: (heartbeat) => ((this.tickAgeMs = heartbeat.last_tick_age_ms), 'latency'),
  };
}
