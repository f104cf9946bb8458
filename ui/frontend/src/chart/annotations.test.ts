import { describe, expect, it } from 'vitest';
import { Fixture } from '../../dev/fixture.ts';
import type { Position, Zone } from '../net/protocol.ts';
import { DEFAULTS } from '../store/settings.ts';
import { Store } from '../store/store.ts';
import { levelLines, marks, modelDots, signalDots, thresholdOf, zoneBoxes, type Locator } from './annotations.ts';
import type { Palette } from './palette.ts';

const INS = 'XRPUSDT-PERP.BINANCE';
const AT: Locator = { row: (seq, ms) => seq ?? ms / 1000, close: () => 2, end: () => 100 };
const PALETTE = { up: 'up', down: 'down', accent: 'accent' } as unknown as Palette;
const zone = (id: number, change: Partial<Zone> = {}): Zone => ({
  id: `z${id}`, ins: INS, type: 'fvg', side: 1, i0: id, i1: null, t0: 0, t1: null, top: 2.1, bot: 2, sweet: null, stop: null, targets: [], state: 'active', why: '', ...change,
});

function store(...zones: Zone[]): Store {
  const own = new Store(() => undefined, INS);
  for (const one of zones) own.apply('zone', one);
  return own;
}

describe('zones on the chart', () => {
  it('reach beyond the last row while they live and to their end after', () => {
    const boxes = zoneBoxes(store(zone(1), zone(2, { i1: 9, t1: 9000, state: 'mitigated' })), INS, DEFAULTS.overlays, AT);
    expect(boxes.map(({ zone: one, from, to }) => [one.id, from, to > 100 ? 'edge' : to])).toEqual([['z2', 2, 9], ['z1', 1, 'edge']]);
  });

  it('are the newest ones of a type where many live, and all that ended', () => {
    const many = Array.from({ length: 40 }, (_, id) => zone(id, id % 2 ? {} : { state: 'expired', i1: id, t1: 0 }));
    const boxes = zoneBoxes(store(...many), INS, DEFAULTS.overlays, AT);
    const living = boxes.filter((box) => box.zone.state === 'active').map((box) => box.from);
    expect([boxes.length, living.length, Math.min(...living)]).toEqual([25, 5, 31]);
  });

  it('are left out when switched off or of another instrument', () => {
    const own = store(zone(1), zone(2, { type: 'bos' }), zone(3, { ins: 'OTHER' }));
    const ids = (overlays: typeof DEFAULTS.overlays): string[] => zoneBoxes(own, INS, overlays, AT).map((box) => box.zone.id);
    expect(ids({ ...DEFAULTS.overlays, structure: false })).toEqual(['z1']);
    expect(ids({ ...DEFAULTS.overlays, fvg: false })).toEqual(['z2']);
  });
});

describe('the model on klines', () => {
  it('has a dot for each signal it was asked about, kept from its threshold on', () => {
    const own = store();
    const signal = { id: '1', ins: INS, ts: 0, i: 4, kind: 'signal_skipped', side: 1 as const, px: 2, stop: null, target: null, confidence: 0.9, factors: {}, zone: null, taken: false, skip: 'model' };
    own.apply('sig', { ...signal, p: 0.4, thr: 0.5 });
    own.apply('sig', { ...signal, id: '2', i: 6, taken: true, skip: null, p: 0.5, thr: 0.5 });
    own.apply('sig', { ...signal, id: '3', p: null, thr: 0.5 });
    own.apply('sig', { ...signal, id: '4' });
    own.apply('sig', { ...signal, id: '5', ins: 'OTHER', p: 0.4, thr: 0.5 });
    expect(signalDots(own, INS, AT).map(({ id, row, keep }) => [id, row, keep])).toEqual([['sig:1', 4, false], ['sig:2', 6, true]]);
  });
});

describe('marks and lines', () => {
  const fixture = new Fixture();

  it('part entries from exits, and put a cancel at the price of its entry', () => {
    const own = store();
    const entry = fixture.order('S', 'entry', 'buy', 2.05, 0);
    own.apply('ord', entry);
    own.apply('ord', fixture.order('S', 'stop', 'sell', 1.9, 0));
    const fill = { ins: INS, setup: 'S', px: '2.05', qty: '1', liq: 'maker' as const, fee: '0', ccy: 'USDT', ts: 0 };
    own.apply('fill', { ...fill, coid: entry.coid, trade: 'a', side: 'buy', i: 5 });
    own.apply('fill', { ...fill, coid: 'OTE-S-S', trade: 'b', side: 'sell', i: 7 });
    own.apply('cancel', { setup: 'S', ins: INS, ts: 6000, p: 0.1, thr: 0.3, reason: 'model', outcome: null, would_r: null });
    expect(marks(own, INS, AT).map(({ id, row, shape, price }) => [id, row, shape, price])).toEqual([
      ['fill:a', 5, 'disc', 2.05], ['cancel:S', 6, 'cross', 2.05], ['fill:b', 7, 'square', 2.05],
    ]);
  });

  it('show a stop once, though it is of the position and an order', () => {
    const own = store();
    own.apply('pos', { ins: INS, setup: 'S', side: 'long', qty: '1', avg: '2', upnl: null, rpnl: '0', r: null, stop: '1.9', targets: ['2.2', '2.4'], since: 0, unprotected_ms: 0 } satisfies Position);
    own.apply('ord', fixture.order('S', 'stop', 'sell', 1.9, 0));
    own.apply('ord', fixture.order('T', 'entry', 'buy', 1.95, 0));
    expect(levelLines(own, INS, PALETTE).map((line) => [line.title, line.price])).toEqual([['LONG', 2], ['STOP', 1.9], ['TP1', 2.2], ['TP2', 2.4], ['ENTRY BUY', 1.95]]);
  });

  it('show a stop as planned, dashed, while none rests at the venue', () => {
    const own = store();
    own.apply('pos', { ins: INS, setup: 'S', side: 'long', qty: '1', avg: '2', upnl: null, rpnl: '0', r: null, stop: '1.9', targets: [], since: 0, unprotected_ms: 0 } satisfies Position);
    const stop = fixture.order('S', 'stop', 'sell', 1.85, 0);
    const drawn = (): unknown[] => levelLines(own, INS, PALETTE).filter((line) => line.id.endsWith(':S:stop')).map((line) => [line.title, line.dashed]);
    expect(drawn()).toEqual([['STOP planned', true]]);
    for (const [status, title] of [['SUBMITTED', 'STOP planned'], ['ACCEPTED', 'STOP'], ['CANCELED', 'STOP planned']] as const) {
      own.apply('ord', { ...stop, status });
      expect(drawn()).toEqual([[title, title !== 'STOP']]);
    }
  });

  it('show what is planned of an entry that rests in a zone', () => {
    const own = store(zone(1, { type: 'ote', sweet: 1.95, stop: 1.9, targets: [2.2] }), zone(2, { type: 'ote', sweet: 1.8, stop: 1.7 }));
    own.apply('ord', fixture.order('T', 'entry', 'buy', 1.95, 0));
    expect(levelLines(own, INS, PALETTE).map((line) => [line.title, line.price])).toEqual([['ENTRY BUY', 1.95], ['STOP planned', 1.9], ['TP1 planned', 2.2]]);
  });

  it('draw decisions as kept or cancelled, and take the threshold of the last where no model tells one', () => {
    const own = store();
    const decision = { ins: INS, ts: 0, i: 3, setup: 'S', p: 0.2, thr: 0.35, verdict: 'cancel' as const, why: [], infer_us: 1 };
    own.apply('mdl', decision);
    expect(modelDots(own, INS, AT)).toEqual([{ id: `mdl:${INS} S 3`, row: 3, p: 0.2, threshold: 0.35, keep: false }]);
    expect(thresholdOf(own, INS)).toBe(0.35);
  });
});
