/** Messages of the telemetry protocol, version 2: the same names as `ui/protocol.py`. */

export const PROTOCOL = 2;

/** Prices and quantities of orders are decimal text: a float would change them. */
export type Decimal = string;
export type Side = 1 | -1;

export interface Bucket {
  ins: string;
  i: number;
  t0: number;
  t1: number;
  o: number;
  h: number;
  l: number;
  c: number;
  v: number;
  bv: number;
  sv: number;
  n: number;
  imb: number;
  vpin: number | null;
  vol: number | null;
  p: number | null;
  dir: number;
  tainted: boolean;
  /** Only of a developing bucket: how full it is, 0 to 1. */
  fill?: number;
}

export interface Bar {
  ins: string;
  tf: string;
  t: number;
  o: number;
  h: number;
  l: number;
  c: number;
  v: number;
  score_long: number | null;
  score_short: number | null;
  factors: Record<string, number>;
}

export type ZoneType = 'ote' | 'ob' | 'fvg' | 'liquidity' | 'range' | 'bos' | 'choch';
export type ZoneState = 'new' | 'active' | 'touched' | 'filled' | 'mitigated' | 'expired';

export interface Zone {
  id: string;
  ins: string;
  type: ZoneType;
  side: Side;
  i0: number;
  i1: number | null;
  t0: number;
  t1: number | null;
  top: number;
  bot: number;
  sweet: number | null;
  stop: number | null;
  targets: number[];
  state: ZoneState;
  why: string;
}

export interface Signal {
  id: string;
  ins: string;
  ts: number;
  i: number | null;
  kind: string;
  side: Side;
  px: number;
  stop: number | null;
  target: number | null;
  confidence: number | null;
  factors: Record<string, number>;
  zone: string | null;
  taken: boolean;
  skip: string | null;
  /** What was compared with what, where something was. */
  figure?: number | null;
  limit?: number | null;
  said?: string;
  /** Of a model of signals; no `thr` without one, no `p` where it could not score. */
  p?: number | null;
  thr?: number | null;
  model?: string | null;
  why?: string;
}

export interface Decision {
  ins: string;
  ts: number;
  i: number;
  setup: string;
  p: number;
  thr: number;
  verdict: 'keep' | 'cancel';
  why: [string, number][];
  infer_us: number | null;
}

export interface Order {
  coid: string;
  ins: string;
  setup: string;
  role: 'entry' | 'stop' | 'target' | 'exit' | 'manual' | 'other';
  side: 'buy' | 'sell';
  type: string;
  tif: string;
  px: Decimal | null;
  trig: Decimal | null;
  qty: Decimal;
  filled: Decimal;
  avg: Decimal | null;
  status: string;
  reason: string | null;
  ts: number;
  venue_id: string | null;
}

export interface Fill {
  coid: string;
  trade: string;
  ins: string;
  setup: string;
  px: Decimal;
  qty: Decimal;
  side: 'buy' | 'sell';
  liq: 'maker' | 'taker';
  fee: Decimal;
  ccy: string;
  ts: number;
  i: number | null;
}

export interface Position {
  ins: string;
  setup: string;
  side: 'long' | 'short' | 'flat';
  qty: Decimal;
  avg: Decimal;
  upnl: Decimal | null;
  rpnl: Decimal;
  r: number | null;
  stop: Decimal | null;
  targets: Decimal[];
  since: number;
  unprotected_ms: number;
}

/** A setup from its first fill to its last: `pnl` is after fees and funding, in `ccy`. */
export interface Trade {
  setup: string;
  ins: string;
  side: 'long' | 'short' | 'flat';
  ts: number;
  since: number;
  qty: Decimal;
  entry: Decimal;
  exit: Decimal;
  pnl: Decimal;
  fees: Decimal;
  funding: Decimal;
  ccy: string;
  r: number | null;
  reason: string;
  tainted: boolean;
}

export interface Cancel {
  setup: string;
  ins: string;
  ts: number;
  p: number | null;
  thr: number | null;
  reason: string;
  outcome: string | null;
  would_r: number | null;
}

/** Trades of one quote currency together; `r` is null where none had a risk. */
export interface ClosedTrades {
  n: number;
  pnl: Decimal;
  r: number | null;
}

export interface Account {
  ts: number;
  equity: Decimal;
  day_pnl: Decimal;
  dd_pct: number;
  fees: Decimal;
  balances: Record<string, [Decimal, Decimal]>;
  /** Trades closed since 00:00 UTC by quote currency; null where the node does not tell it. */
  closed?: Record<string, ClosedTrades> | null;
}

export interface Risk {
  limits: { name: string; used: number; limit: number }[];
  trading: 'ACTIVE' | 'REDUCING' | 'HALTED';
}

export interface InstrumentInfo {
  id: string;
  tick: Decimal;
  lot: Decimal;
  bucket_usd: number | null;
  kind: 'buckets' | 'bars';
  /** Score from which a signal may be taken, 0 to 100; null where nothing is scored. */
  min_score?: number | null;
}

export interface ReplayState {
  from: number;
  to: number;
  at: number;
  speed: number;
  paused: boolean;
  /** Of what was recorded: 1 knows no closed trades. */
  protocol?: number;
}

export interface Status {
  mode: 'live' | 'paper' | 'backtest' | 'replay';
  session: string;
  trader: string;
  version: string;
  config_hash: string;
  paused: string[];
  holds: { source: string; reason: string; ins: string }[];
  halted: string[];
  killed: boolean;
  kill_reason: string | null;
  instruments: InstrumentInfo[];
  models: { ins: string; verdict: string; threshold: number | null; digest: string }[];
  drift: string | null;
  /** The factors of confluence scores, and the most points of each. */
  factors?: Record<string, number>;
  replay?: ReplayState | null;
}

/** Median and 99th percentile of the last seconds. */
export type Quantiles = [number | null, number | null];

export interface Latency {
  feed_ms: Quantiles;
  decision_us: Quantiles;
  ack_ms: Quantiles;
  loop_lag_ms: number | null;
  last_tick_age_ms: number | null;
}

export interface LogLine {
  ts: number;
  level: string;
  src: string;
  text: string;
}

export interface Heartbeat {
  last_tick_age_ms: number | null;
  loop_lag_ms: number | null;
}

/** Payload of each kind. */
export interface Payloads {
  bkt: Bucket;
  dev: Bucket;
  bar: Bar;
  zone: Zone;
  sig: Signal;
  mdl: Decision;
  ord: Order;
  fill: Fill;
  pos: Position;
  trade: Trade;
  cancel: Cancel;
  acct: Account;
  risk: Risk;
  st: Status;
  lat: Latency;
  log: LogLine;
  hb: Heartbeat;
}
export type Kind = keyof Payloads;

/** What a snapshot holds of the kinds that are lists, and of those that have one value. */
export type SnapshotState = {
  [K in 'bkt' | 'bar' | 'dev' | 'zone' | 'sig' | 'mdl' | 'ord' | 'fill' | 'pos' | 'trade' | 'cancel' | 'log']?: Payloads[K][];
} & { [K in 'st' | 'acct' | 'risk' | 'lat' | 'hb']?: Payloads[K] | null };

/** Where older buckets of the instrument are; no numbers while there are none. */
export interface HistorySpan {
  url: string;
  from: number | null;
  to: number | null;
}

export interface SnapFrame {
  t: 'snap';
  epoch: string;
  seq: number;
  ts: number;
  age_ms: number | null;
  /** What is wrong with the server itself. */
  warn?: string;
  role: Role;
  /** The instrument that it is of: the first one where none was asked for. */
  ins: string | null;
  S: SnapshotState;
  hist: HistorySpan | null;
}

export interface DeltaFrame {
  t: 'd';
  epoch: string;
  from: number;
  seq: number;
  ts: number;
  age_ms: number | null;
  warn?: string;
  e: [number, Kind, Payloads[Kind]][];
}

export type Frame = SnapFrame | DeltaFrame;
export type Role = 'viewer' | 'operator';

/** Columns of `GET /api/v1/history`. */
export type HistoryColumns = { ins: string } & {
  [K in Exclude<keyof Bucket, 'ins' | 'fill' | 'tainted'>]: (number | null)[];
} & { tainted: (boolean | number)[] };

/** Answer of `GET /api/v1/bars`. */
export interface BarsAnswer {
  ins: string;
  tf: string;
  timeframes: string[];
  bars: Bar[];
}

export interface CommandResult {
  id: string;
  outcome: 'done' | 'refused' | 'failed';
  why: string;
  ms: number;
}
