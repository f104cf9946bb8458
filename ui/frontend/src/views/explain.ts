/** Why: the card that tells what a zone, a decision, a cancel, a signal or a bar is, and what led to it. */
import { pricePlaces, type App } from '../app.ts';
import { arrowed, decimal, duration, fixed, micros, signed, words } from '../lib/format.ts';
import { h } from '../lib/dom.ts';
import type { Cancel, Decision, Fill, Zone } from '../net/protocol.ts';
import { card, gauge, type Row } from './pieces.ts';
import { signalCard } from './signal-card.ts';

const TOP = 5;
const ZONE_NAMES: Record<Zone['type'], string> = {
  ote: 'Optimal trade entry', ob: 'Order block', fvg: 'Fair value gap', liquidity: 'Liquidity', range: 'Dealing range',
  bos: 'Break of structure', choch: 'Change of character',
};

/** The card of an object on the chart, by the id that its painter gave it; null if it is gone. */
export function explain(app: App, id: string): HTMLElement | null {
  const cut = id.indexOf(':');
  const [kind, key] = [id.slice(0, cut), id.slice(cut + 1)];
  const { store } = app;
  switch (kind) {
    case 'zone': {
      const zone = store.zones.get(key);
      return zone ? zoneCard(app, zone) : null;
    }
    case 'mdl': {
      const decision = store.decisions.get(key);
      return decision ? decisionCard(app, decision) : null;
    }
    case 'cancel': {
      const cancel = store.cancels.get(key);
      return cancel ? cancelCard(app, cancel) : null;
    }
    case 'sig': {
      const signal = store.signals.find((one) => one.id === key);
      return signal ? signalCard(app, signal) : null;
    }
    case 'fill': {
      const fill = store.fills.find((one) => one.trade === key);
      return fill ? fillCard(app, fill) : null;
    }
    default:
      return null;
  }
}

export function zoneCard(app: App, zone: Zone): HTMLElement {
  const places = pricePlaces(app, zone.ins);
  const price = (value: number | null): string => fixed(value, places);
  const rows: Row[] = [
    ['Price', zone.top === zone.bot ? price(zone.top) : `${price(zone.bot)} – ${price(zone.top)}`],
    ['Since', `#${zone.i0}  ${app.clock().stamp(zone.t0)}`],
  ];
  if (zone.i1 !== null) rows.push(['Until', `#${zone.i1}  ${app.clock().stamp(zone.t1)}`]);
  if (zone.sweet !== null) rows.push(['70.5 %', price(zone.sweet)]);
  if (zone.stop !== null) rows.push(['Stop', price(zone.stop)]);
  if (zone.targets.length) rows.push(['Targets', zone.targets.map(price).join('  ')]);
  const tone = zone.side > 0 ? 'up' : 'down';
  const side = zone.side > 0 ? '▲' : '▼';
  return card(`${side} ${ZONE_NAMES[zone.type]}`, zone.state, tone, rows, zone.why ? h('p.why', {}, zone.why) : null);
}

export function decisionCard(app: App, decision: Decision): HTMLElement {
  const keep = decision.verdict === 'keep';
  const rows: Row[] = [
    ['Setup', decision.setup],
    ['Bucket', `#${decision.i}  ${app.clock().stamp(decision.ts)}`],
    ['Inference', micros(decision.infer_us)],
  ];
  return card(
    keep ? '● Model keeps the entry' : '✕ Model cancels the entry', decision.verdict, keep ? 'up' : 'down', rows,
    gauge(decision.p, decision.thr), contributions(decision.why),
  );
}

/** Diverging bars: what spoke for the entry and what against it. */
export function contributions(why: [string, number][]): HTMLElement {
  if (!why.length) return h('p.muted.small', {}, 'contributions follow');
  const top = why.slice(0, TOP);
  const scale = Math.max(...top.map(([, value]) => Math.abs(value)), 1e-9);
  const table = h('div.bars', { role: 'list', 'aria-label': 'top contributions' });
  for (const [feature, value] of top) {
    const fill = h(`div.bar-fill.${value >= 0 ? 'up' : 'down'}`);
    fill.style.width = `${(Math.abs(value) / scale) * 50}%`;
    fill.style.left = value >= 0 ? '50%' : `${50 - (Math.abs(value) / scale) * 50}%`;
    table.append(h(
      'div.bar', { role: 'listitem' },
      h('span.bar-name', { title: feature }, words(feature)), h('div.bar-track', {}, fill), h('span.num', {}, signed(value, 2)),
    ));
  }
  return table;
}

function cancelCard(app: App, cancel: Cancel): HTMLElement {
  const rows: Row[] = [['Setup', cancel.setup], ['Time', app.clock().stamp(cancel.ts)], ['Reason', words(cancel.reason)]];
  if (cancel.p !== null) rows.push(['Model', `p ${fixed(cancel.p, 3)} / ${fixed(cancel.thr, 3)}`]);
  if (cancel.outcome) rows.push(['What became of it', words(cancel.outcome)]);
  if (cancel.would_r !== null) rows.push(['Would have made', `${signed(cancel.would_r, 2)} R`]);
  return card('✕ Entry taken back', words(cancel.reason), 'warn', rows, whyCancelled(app, cancel));
}

/** The contributions of the decision that cancelled, where the model did. */
function whyCancelled(app: App, cancel: Cancel): HTMLElement | null {
  let last: Decision | null = null;
  for (const decision of app.store.decisions.values()) {
    if (decision.setup === cancel.setup && decision.verdict === 'cancel') last = decision;
  }
  return last ? h('div', {}, gauge(last.p, last.thr), contributions(last.why)) : null;
}

function fillCard(app: App, fill: Fill): HTMLElement {
  const order = app.store.orders.get(fill.coid);
  const rows: Row[] = [
    ['Time', app.clock().stamp(fill.ts)], ['Price', decimal(fill.px)], ['Quantity', decimal(fill.qty)],
    ['Fee', `${decimal(fill.fee)} ${fill.ccy}`], ['Order', fill.coid],
  ];
  const position = [...app.store.positions.values()].find((one) => one.setup === fill.setup);
  if (position?.unprotected_ms) rows.push(['Longest unprotected of the symbol', duration(position.unprotected_ms)]);
  if (position?.upnl) rows.push(['Open PnL', arrowed(Number(position.upnl), 2)]);
  return card(`${order?.role ?? 'fill'} ${fill.side}`, fill.liq, fill.side === 'buy' ? 'up' : 'down', rows);
}
