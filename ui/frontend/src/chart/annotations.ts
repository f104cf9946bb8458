/** What the store knows, as things to paint: zone boxes, marks, dots of the model, lines of the position. */
import type { Order, Position, Zone } from '../net/protocol.ts';
import type { Settings } from '../store/settings.ts';
import type { Store } from '../store/store.ts';
import type { LevelLine } from './host.ts';
import type { Mark } from './markers.ts';
import type { ModelDot } from './oscillators.ts';
import type { Palette } from './palette.ts';
import { toggleOf, type ZoneBox } from './zones.ts';

/** Where things lie on this chart: by bucket number where there is one, else by time. */
export interface Locator {
  row(seq: number | null, ms: number): number;
  /** Close of a row. */
  close(row: number): number;
  /** Beyond the last row: the end of what still lives. */
  end(): number;
}

const TAIL_ROWS = 400;
/** Living zones of a type on the chart, the newest: each reaches to the right edge, and many hide the candles. */
const MAX_LIVING: Record<Zone['type'], number> = { ote: 4, range: 2, ob: 6, fvg: 5, liquidity: 10, bos: 12, choch: 12 };
const MAX_ORDERS = 12;
const MAX_POSITIONS = 4;

export function zoneBoxes(store: Store, ins: string, overlays: Settings['overlays'], at: Locator): ZoneBox[] {
  const boxes: ZoneBox[] = [];
  for (const zone of store.zones.values()) {
    if (zone.ins !== ins || !overlays[toggleOf(zone.type)]) continue;
    boxes.push({ zone, from: at.row(zone.i0, zone.t0), to: endOf(zone, at) });
  }
  // What lives is painted over what has ended.
  return newestLiving(boxes).sort((a, b) => rank(a.zone) - rank(b.zone));
}

function newestLiving(boxes: ZoneBox[]): ZoneBox[] {
  const counts = new Map<string, number>();
  return boxes
    .sort((a, b) => b.from - a.from)
    .filter(({ zone }) => {
      if (ENDED.has(zone.state) || zone.i1 !== null) return true;
      const count = (counts.get(zone.type) ?? 0) + 1;
      counts.set(zone.type, count);
      return count <= MAX_LIVING[zone.type];
    });
}

const ENDED = new Set(['filled', 'mitigated', 'expired']);
const rank = (zone: Zone): number => (zone.type === 'range' ? 0 : ENDED.has(zone.state) ? 1 : zone.type === 'ote' ? 3 : 2);

function endOf(zone: Zone, at: Locator): number {
  return zone.i1 === null || zone.t1 === null ? at.end() + TAIL_ROWS : at.row(zone.i1, zone.t1);
}

/** Marks of an instrument in order of rows. */
export function marks(store: Store, ins: string, at: Locator): Mark[] {
  const list: Mark[] = [];
  for (const signal of store.signals) {
    if (signal.ins !== ins) continue;
    const row = at.row(signal.i, signal.ts);
    const shape = signal.taken ? (signal.side > 0 ? 'up' : 'down') : 'ring';
    const tone = signal.taken ? 'accent' : 'muted';
    list.push({ id: `sig:${signal.id}`, row, price: signal.px, shape, tone });
  }
  for (const cancel of store.cancels.values()) {
    if (cancel.ins !== ins) continue;
    const row = at.row(null, cancel.ts);
    list.push({ id: `cancel:${cancel.setup}`, row, price: entryPrice(store, cancel.setup) ?? at.close(row), shape: 'cross', tone: 'warn' });
  }
  store.fills.forEach((fill) => {
    if (fill.ins !== ins) return;
    const entry = (store.orders.get(fill.coid)?.role ?? 'entry') === 'entry';
    const tone = fill.side === 'buy' ? 'up' : 'down';
    list.push({ id: `fill:${fill.trade}`, row: at.row(fill.i, fill.ts), price: Number(fill.px), shape: entry ? 'disc' : 'square', tone });
  });
  return list.filter((mark) => mark.row >= 0 && Number.isFinite(mark.price)).sort((a, b) => a.row - b.row);
}

function entryPrice(store: Store, setup: string): number | null {
  for (const order of store.orders.values()) {
    if (order.setup === setup && order.role === 'entry' && order.px !== null) return Number(order.px);
  }
  return null;
}

export function modelDots(store: Store, ins: string, at: Locator): ModelDot[] {
  const dots: ModelDot[] = [];
  for (const [key, decision] of store.decisions) {
    if (decision.ins !== ins) continue;
    dots.push({ id: `mdl:${key}`, row: at.row(decision.i, decision.ts), p: decision.p, threshold: decision.thr, keep: decision.verdict === 'keep' });
  }
  return dots;
}

/** What a model of signals said of each: it was asked before there was an entry. */
export function signalDots(store: Store, ins: string, at: Locator): ModelDot[] {
  const dots: ModelDot[] = [];
  for (const { id, ins: own, i, ts, p, thr } of store.signals) {
    if (own !== ins || typeof p !== 'number' || typeof thr !== 'number') continue;
    dots.push({ id: `sig:${id}`, row: at.row(i, ts), p, threshold: thr, keep: p >= thr });
  }
  return dots.filter((dot) => dot.row >= 0);
}

/** The threshold of an instrument's model, or of the last decision. */
export function thresholdOf(store: Store, ins: string): number {
  const models = store.status?.models ?? [];
  const model = models.find((one) => one.ins === ins) ?? models.find((one) => one.ins === '*');
  if (model?.threshold !== null && model?.threshold !== undefined) return model.threshold;
  let threshold = NaN;
  for (const decision of store.decisions.values()) if (decision.ins === ins) threshold = decision.thr;
  return threshold;
}

/** Lines of open positions and working orders. */
export function levelLines(store: Store, ins: string, palette: Palette): LevelLine[] {
  const lines: LevelLine[] = [];
  for (const position of store.openPositions(ins).slice(-MAX_POSITIONS)) lines.push(...positionLines(position, store.hasStop(position), palette));
  const covered = new Set(lines.map((line) => line.price));
  for (const order of store.workingOrders(ins).slice(-MAX_ORDERS)) {
    const price = Number(order.trig ?? order.px);
    if (!Number.isFinite(price) || price <= 0 || covered.has(price)) continue;
    lines.push(orderLine(order, price, palette));
    if (order.role === 'entry') lines.push(...planLines(store, order, price, palette));
  }
  return lines;
}

/** Stop and target of an entry that rests: its zone knows them before the position does. */
function planLines(store: Store, order: Order, price: number, palette: Palette): LevelLine[] {
  const zone = zoneOf(store, order.ins, price);
  if (!zone) return [];
  const line = (name: string, level: number, title: string, colour: string): LevelLine => ({ id: `plan:${order.coid}:${name}`, price: level, title, colour, dashed: true });
  return [
    ...(zone.stop === null ? [] : [line('stop', zone.stop, 'STOP planned', palette.down)]),
    ...zone.targets.map((target, index) => line(`tp${index}`, target, `TP${index + 1} planned`, palette.up)),
  ];
}

/** The newest living zone whose sweet spot is a price: the one that an entry there was placed for. */
export function zoneOf(store: Store, ins: string, price: number): Zone | null {
  let found: Zone | null = null;
  for (const zone of store.zones.values()) {
    if (zone.ins !== ins || zone.type !== 'ote' || zone.sweet === null || ENDED.has(zone.state)) continue;
    if (Math.abs(zone.sweet - price) <= price * 1e-9 && (!found || zone.t0 > found.t0)) found = zone;
  }
  return found;
}

function positionLines(position: Position, hasStop: boolean, palette: Palette): LevelLine[] {
  const key = `${position.ins}:${position.setup}`;
  const title = position.side === 'long' ? 'LONG' : 'SHORT';
  const lines: LevelLine[] = [{ id: `${key}:avg`, price: Number(position.avg), title, colour: palette.accent, dashed: false }];
  if (position.stop !== null) {
    lines.push({ id: `${key}:stop`, price: Number(position.stop), title: hasStop ? 'STOP' : 'STOP planned', colour: palette.down, dashed: !hasStop });
  }
  position.targets.forEach((target, index) => {
    lines.push({ id: `${key}:tp${index}`, price: Number(target), title: `TP${index + 1}`, colour: palette.up, dashed: false });
  });
  return lines;
}

function orderLine(order: Order, price: number, palette: Palette): LevelLine {
  const colour = order.role === 'stop' ? palette.down : order.role === 'target' ? palette.up : palette.accent;
  return { id: `ord:${order.coid}`, price, title: `${order.role.toUpperCase()} ${order.side.toUpperCase()}`, colour, dashed: true };
}
