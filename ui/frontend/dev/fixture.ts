/** A made-up session that speaks the protocol: for tests, the benchmark, and a look at the design. */
import type { Bar, Bucket, Decision, Kind, Order, Payloads, Side, Zone, ZoneType } from '../src/net/protocol.ts';
import { Random } from './random.ts';

export type Message = { [K in Kind]: [K, Payloads[K]] }[Kind];

export interface FixtureOptions {
  ins?: string;
  seed?: number;
  price?: number;
  tick?: number;
  /** UNIX milliseconds of the first bucket. */
  start?: number;
  /** Zones made per thousand buckets. */
  zoneRate?: number;
}

const FEATURES = ['imbalance_5', 'vpin', 'zone_age', 'retracement_depth', 'delta_divergence', 'spread_bps', 'time_in_zone', 'displacement_r'];
const FACTORS = ['order_block', 'fair_value_gap', 'liquidity_sweep', 'premium_discount', 'structure', 'session', 'volume'];
const BUCKET_USD = 25_000;
const AREAS: ZoneType[] = ['ote', 'ob', 'ob', 'fvg', 'fvg', 'fvg', 'liquidity', 'bos', 'choch'];

export class Fixture {
  readonly ins: string;
  readonly tick: number;
  private readonly random: Random;
  private readonly zoneRate: number;
  private price: number;
  private now: number;
  private index = 0;
  private drift = 0;
  private pressure = 0;
  private vpin = 0.3;
  private probability = 0.5;
  private zones: Zone[] = [];
  private serial = 0;

  constructor({ ins = 'XRPUSDT-PERP.BINANCE', seed = 7, price = 2.1846, tick = 0.0001, start = Date.UTC(2026, 10, 20, 8), zoneRate = 20 }: FixtureOptions = {}) {
    this.ins = ins;
    this.tick = tick;
    this.random = new Random(seed);
    this.price = price;
    this.now = start;
    this.zoneRate = zoneRate;
  }

  get clock(): number {
    return this.now;
  }

  /** The next closed bucket. */
  bucket(): Bucket {
    const { random } = this;
    if (random.next() < 0.02) this.drift = random.normal() * 0.0004;
    this.pressure = 0.88 * this.pressure + 0.3 * random.normal() + this.drift * 300;
    const imb = Math.max(-0.98, Math.min(0.98, this.pressure * 0.5));
    const o = this.price;
    const c = this.round(o * (1 + imb * 0.0007 + random.normal() * 0.0004));
    const h = this.round(Math.max(o, c) * (1 + Math.abs(random.normal()) * 0.0003));
    const l = this.round(Math.min(o, c) * (1 - Math.abs(random.normal()) * 0.0003));
    this.vpin += 0.03 * (0.15 + Math.abs(imb) * 0.6 - this.vpin);
    this.probability = Math.max(0.02, Math.min(0.98, this.probability + random.normal() * 0.03 + 0.02 * (0.5 - this.probability)));
    const t0 = this.now;
    this.now += Math.round(300 + 4000 * random.next() ** 3);
    this.price = c;
    const v = BUCKET_USD * random.between(1, 1.04);
    this.index += 1;
    return {
      ins: this.ins, i: this.index - 1, t0, t1: this.now, o, h, l, c, v, bv: (v * (1 + imb)) / 2, sv: (v * (1 - imb)) / 2,
      n: Math.round(random.between(20, 180)), imb, vpin: this.vpin, vol: 0.0008, p: this.probability, dir: Math.sign(this.drift), tainted: false,
    };
  }

  /** The bucket that is being filled now. */
  developing(fill: number): Bucket {
    const c = this.round(this.price * (1 + this.random.normal() * 0.0003));
    return {
      ins: this.ins, i: this.index, t0: this.now, t1: this.now, o: this.price, h: Math.max(c, this.price), l: Math.min(c, this.price), c,
      v: BUCKET_USD * fill, bv: BUCKET_USD * fill * 0.6, sv: BUCKET_USD * fill * 0.4, n: 12, imb: 0.2, vpin: this.vpin, vol: 0.0008,
      p: this.probability, dir: 0, tainted: false, fill,
    };
  }

  /** What happens to zones, setups and orders around the last bucket. */
  events(bucket: Bucket): Message[] {
    const messages: Message[] = this.age(bucket);
    if (this.random.next() < this.zoneRate / 1000) {
      const zone = this.makeZone(bucket);
      this.zones.push(zone);
      messages.push(['zone', zone]);
      if (zone.type === 'ote') messages.push(...this.setup(bucket, zone));
    }
    return messages;
  }

  /** Zones live for a while, are touched, and end. */
  private age(bucket: Bucket): Message[] {
    const messages: Message[] = [];
    this.zones = this.zones.filter((zone) => {
      const isInside = bucket.l <= zone.top && bucket.h >= zone.bot;
      const age = bucket.i - zone.i0;
      if (isInside && zone.state === 'active' && age > 5) {
        messages.push(['zone', Object.assign(zone, { state: 'touched', why: `${zone.why}; touched at ${bucket.c}` })]);
      } else if (age > 2 && zone.state === 'new') messages.push(['zone', Object.assign(zone, { state: 'active' })]);
      const isOver = age > 30 && (this.random.next() < 0.012 || bucket.c > zone.top * 1.02 || bucket.c < zone.bot * 0.98);
      if (isOver) messages.push(['zone', Object.assign(zone, { state: zone.state === 'touched' ? 'mitigated' : 'expired', i1: bucket.i, t1: bucket.t1 })]);
      return !isOver;
    });
    return messages.map(([kind, payload]) => [kind, { ...payload }] as Message);
  }

  private makeZone(bucket: Bucket): Zone {
    const { random } = this;
    const type = random.pick(AREAS);
    const side: Side = random.next() < 0.5 ? 1 : -1;
    const height = bucket.c * random.between(0.0006, 0.0025);
    const offset = bucket.c * random.between(0.0004, 0.003) * -side;
    const isLevel = type === 'liquidity' || type === 'bos' || type === 'choch';
    const middle = this.round(bucket.c + offset);
    const [bot, top] = isLevel ? [middle, middle] : [this.round(middle - height / 2), this.round(middle + height / 2)];
    const why: Partial<Record<ZoneType, string>> = {
      ote: 'Impulse of 34 buckets broke structure with displacement 2.1; 61.8–79 % of the leg',
      ob: 'Last opposite bucket before a displacement of 1.8 average ranges',
      fvg: 'Three buckets left this range untraded',
      liquidity: 'Equal extremes within 2 ticks, three times',
      bos: 'Close beyond the last swing, with the trend', choch: 'Close beyond the last swing, against the trend',
    };
    this.serial += 1;
    return {
      id: `z${this.serial}`, ins: this.ins, type, side, i0: Math.max(0, bucket.i - Math.round(random.between(2, 30))), i1: isLevel && type !== 'liquidity' ? bucket.i : null,
      t0: bucket.t0, t1: isLevel && type !== 'liquidity' ? bucket.t1 : null, top, bot, sweet: type === 'ote' ? this.round(bot + (top - bot) * 0.5) : null,
      stop: type === 'ote' ? this.round(side > 0 ? bot * 0.9985 : top * 1.0015) : null,
      targets: type === 'ote' ? [this.round(bucket.c * (1 + side * 0.004))] : [], state: 'new', why: why[type] ?? '',
    };
  }

  private setup(bucket: Bucket, zone: Zone): Message[] {
    const setup = `L${this.serial.toString(36)}x`;
    const isTaken = this.random.next() < 0.7;
    const entry = zone.sweet!;
    const messages: Message[] = [['sig', {
      id: `s${this.serial}`, ins: this.ins, ts: bucket.t1, i: bucket.i, kind: 'ote_entry', side: zone.side, px: entry, stop: zone.stop,
      target: zone.targets[0]!, confidence: this.random.between(0.4, 0.9), factors: {}, zone: zone.id, taken: isTaken, skip: isTaken ? null : 'reward_risk',
    }]];
    if (!isTaken) return messages;
    const order = this.order(setup, 'entry', zone.side > 0 ? 'buy' : 'sell', entry, bucket.t1);
    const decision = this.decision(setup, bucket);
    messages.push(['ord', order], ['mdl', decision]);
    if (decision.verdict === 'cancel') {
      messages.push(
        ['ord', { ...order, status: 'CANCELED', reason: 'model' }],
        ['cancel', { setup, ins: this.ins, ts: bucket.t1, p: decision.p, thr: decision.thr, reason: 'model', outcome: 'stop_hit', would_r: -1 }],
      );
    } else {
      messages.push(['ord', { ...order, status: 'FILLED', filled: order.qty, avg: order.px }]);
      messages.push(['fill', {
        coid: order.coid, trade: `t${this.serial}`, ins: this.ins, setup, px: order.px!, qty: order.qty, side: order.side, liq: 'maker', fee: '0.21', ccy: 'USDT', ts: bucket.t1, i: bucket.i,
      }]);
    }
    return messages;
  }

  order(setup: string, role: Order['role'], side: Order['side'], price: number, ts: number): Order {
    return {
      coid: `OTE-${setup}-${role[0]!.toUpperCase()}`, ins: this.ins, setup, role, side, type: role === 'stop' ? 'STOP_MARKET' : 'LIMIT', tif: 'GTC',
      px: role === 'stop' ? null : price.toFixed(4), trig: role === 'stop' ? price.toFixed(4) : null, qty: '482.3', filled: '0.0', avg: null, status: 'ACCEPTED', reason: null, ts, venue_id: null,
    };
  }

  decision(setup: string, bucket: Bucket): Decision {
    const p = this.random.between(0.2, 0.85);
    const why = FEATURES.map((name): [string, number] => [name, this.random.normal() * 0.5]).sort((a, b) => Math.abs(b[1]) - Math.abs(a[1]));
    return { ins: this.ins, ts: bucket.t1, i: bucket.i, setup, p, thr: 0.42, verdict: p >= 0.42 ? 'keep' : 'cancel', why: why.slice(0, 5), infer_us: 180 };
  }

  private round(price: number): number {
    return Math.round(price / this.tick) * this.tick;
  }
}

/** Klines with scores for the other view. */
export function makeBars(ins: string, count: number, start: number, seed = 3): Bar[] {
  const random = new Random(seed);
  let price = 2.1;
  return Array.from({ length: count }, (_, index) => {
    const o = price;
    const c = o * (1 + random.normal() * 0.002);
    price = c;
    const long = Math.max(0, Math.min(100, 50 + random.normal() * 20));
    const factors = Object.fromEntries(FACTORS.map((name) => [name, Math.round(random.normal() * 8)]));
    return {
      ins, tf: '5m', t: start + index * 300_000, o, h: Math.max(o, c) * 1.001, l: Math.min(o, c) * 0.999, c, v: 1e5 * random.next(),
      score_long: long, score_short: 100 - long, factors,
    };
  });
}
