/** Beside the chart: position, working orders, the last decision and why, limits. */
import { instrumentInfo, priceText, takesCommands, type App } from '../app.ts';
import { perform } from '../actions/control.ts';
import { h, replace } from '../lib/dom.ts';
import { arrowed, decimal, duration, fixed, signed, signTone, symbolOf, words } from '../lib/format.ts';
import { zoneOf } from '../chart/annotations.ts';
import type { Decision, Position, Signal, Zone } from '../net/protocol.ts';
import { isExternal } from '../store/store.ts';
import { decisionCard, explain, zoneCard } from './explain.ts';
import { panelCard } from './pieces.ts';
import { noModel, signalCard } from './signal-card.ts';

const REFRESH_MS = 250;
const MAX_ORDERS = 6;
const MAX_POSITIONS = 4;

export class SidePanel {
  readonly element: HTMLElement;
  private readonly app: App;
  private readonly position = panelCard('Position');
  private readonly orders = panelCard('Working orders');
  private readonly decision = panelCard('Decision');
  private readonly limits = panelCard('Limits');
  /** An object of the chart that was clicked, shown instead of the last decision. */
  private picked: string | null = null;
  private timer = 0;

  constructor(app: App) {
    this.app = app;
    const cards = [this.position, this.orders, this.decision, this.limits];
    this.element = h('aside.side', { 'aria-label': 'position and decision' }, ...cards.map((card) => card.element));
    app.store.on(['positions', 'orders', 'decisions', 'cancels', 'signals', 'risk', 'status', 'history', 'bars', 'link', 'zones'], () => this.later());
    this.draw();
  }

  pick(id: string | null): void {
    this.picked = id;
    this.draw();
  }

  private later(): void {
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.draw();
    }, REFRESH_MS);
  }

  private draw(): void {
    // What has the focus must not be taken away under the user's finger.
    if (this.position.body.querySelector(':active')) return this.later();
    const focused = this.position.body.contains(document.activeElement) ? document.activeElement?.getAttribute('aria-label') : null;
    this.drawPosition();
    if (focused) this.position.body.querySelector<HTMLElement>(`[aria-label="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    this.drawOrders();
    this.drawDecision();
    this.drawLimits();
  }

  private drawPosition(): void {
    const { store } = this.app;
    const mine = store.openPositions(store.market.ins);
    const others = store.openPositions().length - Math.min(mine.length, MAX_POSITIONS);
    const rest = others ? h('p.muted.small', {}, `${others} more in the table`) : null;
    if (!mine.length) return replace(this.position.body, h('p.muted', {}, 'flat'), rest);
    replace(this.position.body, ...mine.slice(-MAX_POSITIONS).map((position) => this.positionBlock(position)), rest);
  }

  private positionBlock(position: Position): HTMLElement {
    const pnl = Number(position.upnl ?? NaN);
    const tone = signTone(pnl) || 'flat';
    const obstacle = this.app.commands.obstacle('close');
    const close = takesCommands(this.app)
      ? h('button.btn.tiny', { disabled: obstacle !== null, title: obstacle ?? 'close at market (C)', 'aria-label': `close ${symbolOf(position.ins)}`, onclick: () => void perform(this.app, 'close', position.ins) }, 'Close')
      : null;
    const isOthers = isExternal(position);
    const isPlan = !this.app.store.hasStop(position);
    const pairs: [string, string, string?][] = [
      [isOthers ? 'Entry (average of all held)' : 'Entry', priceText(this.app, position.ins, position.avg)], [isPlan && position.stop !== null ? 'Stop (planned)' : 'Stop', position.stop === null ? 'none' : this.level(position, position.stop), isPlan ? 'warn' : ''],
      ...position.targets.map((target, index): [string, string] => [`Target ${index + 1}`, this.level(position, target)]),
      ...(isOthers
        ? [['Setup', 'none: external', 'warn'] as [string, string, string]]
        : [['Realized', signed(Number(position.rpnl), 2)], ['Longest unprotected', duration(position.unprotected_ms)]] as [string, string][]),
    ];
    const list = h('dl.pairs');
    for (const [label, value, mark] of pairs) list.append(h('dt', {}, label), h(`dd${mark ? `.${mark}` : ''}`, {}, value));
    return h(
      'div.position', {},
      h('div.position-head', {}, h(`span.tag.${position.side === 'long' ? 'up' : 'down'}`, {}, position.side === 'long' ? '▲ LONG' : '▼ SHORT'), h('span.num', {}, decimal(position.qty)), h('div.spring'), close),
      h('div.position-pnl', {}, h(`span.big.num.${tone}`, {}, arrowed(pnl, 2)), h(`span.num.${tone}`, {}, position.r === null ? '' : `${signed(position.r, 2)} R`)),
      list,
    );
  }

  /** A level with its distance from the last price. */
  private level(position: Position, level: string): string {
    const last = this.app.store.market.last;
    const distance = position.ins === this.app.store.market.ins ? (Number(level) / last - 1) * 100 : NaN;
    const text = priceText(this.app, position.ins, level);
    return Number.isFinite(distance) ? `${text}  ${signed(distance, 2)}%` : text;
  }

  private drawOrders(): void {
    const { store } = this.app;
    const working = store.workingOrders(store.market.ins);
    if (!working.length) return replace(this.orders.body, h('p.muted', {}, 'none'));
    const rows = working.slice(0, MAX_ORDERS).map((order) => {
      const tone = order.side === 'buy' ? 'up' : 'down';
      return h('div.order-line', {}, h(`span.${tone}`, {}, `${order.side === 'buy' ? '▲' : '▼'} ${order.role}`), h('span.num', {}, decimal(order.qty)), h('span.num', {}, priceText(this.app, order.ins, order.trig ?? order.px)));
    });
    const more = working.length > MAX_ORDERS ? h('p.muted.small', {}, `${working.length - MAX_ORDERS} more in the table`) : null;
    replace(this.orders.body, ...rows, more);
  }

  private drawDecision(): void {
    const card = this.picked ? explain(this.app, this.picked) : null;
    const last = this.lastDecision();
    const back = card ? h('button.btn.tiny', { onclick: () => this.pick(null) }, 'Show the last decision') : null;
    if (card) return replace(this.decision.body, card, back);
    if (!last && instrumentInfo(this.app)?.kind === 'bars') return this.drawSignal();
    const zone = this.tradedZone();
    replace(
      this.decision.body,
      last ? decisionCard(this.app, last) : h('p.muted', {}, this.app.store.status?.models.length ? 'the model was not asked yet' : 'no model: every entry rests until its zone ends'),
      zone && h('div.traded-zone', {}, zoneCard(this.app, zone)),
    );
  }

  /** Of a strategy on klines the last signal is its last decision: whether to enter, and why. */
  private drawSignal(): void {
    const { store } = this.app;
    const last: Signal | undefined = store.signals.findLast((one) => one.ins === store.market.ins);
    if (last) return replace(this.decision.body, signalCard(this.app, last));
    const least = instrumentInfo(this.app)?.min_score;
    const needs = typeof least === 'number' ? `: one is taken from a score of ${fixed(least, 0)} on` : '';
    replace(this.decision.body, h('p.muted', {}, `no signal of this symbol yet${needs}`), h('p.muted.small', {}, noModel(this.app)));
  }

  /** The zone of the resting entry; else the one that was entered last. */
  private tradedZone(): Zone | null {
    const { store } = this.app;
    const { ins } = store.market;
    for (const order of store.workingOrders(ins).reverse()) {
      const zone = order.role === 'entry' ? zoneOf(store, ins, Number(order.px)) : null;
      if (zone) return zone;
    }
    const signal = store.signals.findLast((one) => one.ins === ins && one.taken && one.zone !== null);
    return (signal && store.zones.get(`${ins}:ote${signal.zone}`)) ?? null;
  }

  private lastDecision(): Decision | null {
    const { store } = this.app;
    let last: Decision | null = null;
    for (const decision of store.decisions.values()) {
      if (decision.ins === store.market.ins && (!last || decision.ts >= last.ts)) last = decision;
    }
    return last;
  }

  private drawLimits(): void {
    const { risk } = this.app.store;
    if (!risk?.limits.length) return replace(this.limits.body, h('p.muted', {}, 'none set'));
    const rows = risk.limits.map(({ name, used, limit }) => {
      const share = limit > 0 ? Math.min(1, used / limit) : 0;
      const fill = h(`div.meter-fill.${share > 0.9 ? 'down' : share > 0.6 ? 'warn' : 'calm'}`);
      fill.style.width = `${share * 100}%`;
      return h(
        'div.meter', { role: 'meter', 'aria-label': name, 'aria-valuenow': used, 'aria-valuemin': 0, 'aria-valuemax': limit },
        h('span', {}, words(name)), h('span.num', {}, `${fixed(used, 2)} / ${fixed(limit, 2)}`), h('div.meter-track', {}, fill),
      );
    });
    const trading = risk.trading === 'ACTIVE' ? null : h('p.warn', {}, `risk engine: ${risk.trading.toLowerCase()}`);
    replace(this.limits.body, ...rows, trading);
  }
}
