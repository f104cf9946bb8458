/** Second line: the instrument and its price, the figures of the account, the actions. */
import { instrumentInfo, pricePlaces, type App } from '../app.ts';
import { LABELS, pauseOf, type Action } from '../actions/commands.ts';
import type { ClosedTrades } from '../net/protocol.ts';
import { closeCurrent, perform, resume } from '../actions/control.ts';
import { h, setClass, setText } from '../lib/dom.ts';
import { arrowed, duration, fixed, MISSING, signed, signTone, symbolOf, verdictTone, words } from '../lib/format.ts';
import { Figure, quantiles } from './pieces.ts';

const DAY_MS = 86_400_000;
const MAX_DD_WARN = 5;

const dayOf = (ms: number): number => Math.floor(ms / DAY_MS);

/** Two places, and more of an amount that would be nothing: 0.001 BTC is no 0.00. */
function money(amount: number, ccy: string): string {
  const size = Math.abs(amount);
  const places = size === 0 || size >= 0.1 ? 2 : Math.min(8, 2 - Math.floor(Math.log10(size)));
  return `${signed(amount, places)} ${ccy}`.trim();
}

/** Text and tone of what closed: currencies are not added up, multiples of the risk are. */
function realised(closed: Record<string, ClosedTrades> | null | undefined): [string, string] {
  if (!closed) return [MISSING, ''];
  const made = Object.entries(closed).filter(([, one]) => one.n > 0);
  if (!made.length) return ['none closed', 'muted'];
  const amounts = made.map(([, one]) => Number(one.pnl));
  const risks = made.flatMap(([, one]) => one.r ?? []);
  const count = made.reduce((total, [, one]) => total + one.n, 0);
  const parts = made.map(([ccy], index) => money(amounts[index]!, ccy));
  if (risks.length) parts.push(`${signed(risks.reduce((total, one) => total + one, 0), 2)} R`);
  const tone = amounts.every((one) => one > 0) ? 'up' : amounts.every((one) => one < 0) ? 'down' : '';
  return [`${tone === 'up' ? '▲ ' : tone === 'down' ? '▼ ' : ''}${parts.join(', ')} (${count})`, tone];
}

export class InstrumentBar {
  readonly element: HTMLElement;
  private readonly app: App;
  private readonly symbol = h('span.symbol-name', {}, MISSING);
  private readonly price = h('span.price.num', {}, MISSING);
  private readonly change = h('span.change.num', { title: 'change up to the last trade, over that time before it' });
  private readonly figures = {
    // In the order of what counts: where there is no room, the last ones go into the next row.
    equity: new Figure('Equity', 'what the account is worth: balances and open positions'),
    closed: new Figure('Day PnL', 'closed trades since 00:00 UTC after fees and funding: profit, multiples of the risk, number; open positions are not in it'),
    day: new Figure('Day equity', 'change of the account\'s worth since 00:00 UTC: open positions, deposits and withdrawals included'),
    drawdown: new Figure('Drawdown', 'how far equity is below its highest, percent of that'),
    model: new Figure('Model', 'verdict of the model on data it had not seen'),
    latency: new Figure('Feed ms', 'age of trades when they arrive: median / 99th percentile'),
    decision: new Figure('Decision µs', 'trade to decision: median / 99th percentile'),
    ack: new Figure('Ack ms', 'order to acknowledgement: median / 99th percentile'),
  };
  private readonly machine = [this.figures.latency, this.figures.decision, this.figures.ack];
  private readonly buttons = new Map<Action, HTMLButtonElement>();
  private last = NaN;

  constructor(app: App, openSymbols: () => void) {
    this.app = app;
    const { figures } = this;
    for (const one of this.machine) one.element.classList.add('machine');
    this.element = h(
      'div.instrument-bar', {},
      h('button.symbol', { title: 'switch symbol (/)', 'aria-haspopup': 'dialog', onclick: openSymbols }, this.symbol, h('span.caret', {}, '▾')),
      h('div.quote', { 'aria-live': 'off' }, this.price, this.change),
      h('div.figures', {}, ...Object.values(figures).map((figure) => figure.element)),
      h('div.spring'), this.actions(),
    );
    app.store.on(['buckets', 'bars', 'history'], () => this.showPrice());
    app.store.on(['account', 'latency', 'status'], () => this.showFigures());
    app.store.on(['status', 'positions', 'link'], () => this.showActions());
  }

  private actions(): HTMLElement {
    const { app } = this;
    const button = (action: Action, tone: string, key: string, run: () => void): HTMLButtonElement => {
      const element = h<HTMLButtonElement>(`button.btn.${tone}`, { 'data-action': action, 'data-key': key, onclick: run }, LABELS[action]);
      this.buttons.set(action, element);
      return element;
    };
    return h(
      'div.actions', { role: 'group', 'aria-label': 'commands' },
      button('pause', 'quiet', 'P', () => void perform(app, 'pause')),
      button('resume', 'quiet', 'P', () => void resume(app)),
      button('cancel-all', 'quiet', 'X', () => void perform(app, 'cancel-all')),
      button('close', 'quiet', 'C', () => void closeCurrent(app)),
      button('flatten', 'warn', '', () => void perform(app, 'flatten')),
      button('rearm', 'primary', '', () => void perform(app, 'rearm')),
      button('kill', 'danger', 'Shift K', () => void perform(app, 'kill')),
    );
  }

  /** Enable what can be done now; also called by a clock, because data grow stale by themselves. */
  showActions(): void {
    const { app } = this;
    const { status } = app.store;
    const { all, symbols } = pauseOf(status?.paused);
    const isHalted = Boolean(status?.killed || status?.halted.length);
    this.buttons.get('pause')!.hidden = all;
    const ending = this.buttons.get('resume')!;
    ending.hidden = !all && !symbols.length;
    ending.classList.toggle('on', all);
    ending.dataset['key'] = all ? 'P' : '';
    setText(ending, all ? LABELS.resume : symbols.length === 1 ? `Resume ${symbolOf(symbols[0]!)}` : `Resume ${symbols.length} symbols`);
    this.buttons.get('rearm')!.hidden = !isHalted;
    this.buttons.get('kill')!.hidden = Boolean(status?.killed);
    const hasPosition = app.store.openPositions(app.store.market.ins).length > 0;
    for (const [action, button] of this.buttons) {
      const none = action === 'close' && !hasPosition ? 'no open position here' : null;
      const obstacle = app.commands.obstacle(action) ?? none;
      button.disabled = obstacle !== null;
      button.title = obstacle ?? [LABELS[action], button.dataset['key'] && `(${button.dataset['key']})`].filter(Boolean).join(' ');
    }
  }

  private showPrice(): void {
    const { market } = this.app.store;
    const { ins } = market;
    // An instrument on klines has no buckets: its last bar says what it costs.
    const bars = market.bars.values().next().value?.columns;
    const columns = market.buckets.columns.length || !bars ? market.buckets.columns : bars;
    setText(this.symbol, ins ? symbolOf(ins) : MISSING);
    const close = columns.at('c', columns.length - 1);
    if (close !== this.last) {
      setText(this.price, fixed(close, pricePlaces(this.app)));
      setClass(this.price, `price num ${signTone(close - this.last)}`);
      this.last = close;
    }
    // Of a day, or of the shorter time that is loaded: never more because somebody scrolled back.
    const end = columns.at('t1', columns.length - 1);
    const row = columns.lowerBound('t1', end - DAY_MS);
    const change = (close / columns.at('o', row) - 1) * 100;
    const span = row > 0 ? '24 h' : duration(end - columns.at('t0', row));
    setText(this.change, Number.isFinite(change) ? `${arrowed(change, 2)}% in ${span}` : '');
    setClass(this.change, `change num ${signTone(change)}`);
  }

  private showFigures(): void {
    const { account, latency, status, market } = this.app.store;
    const { figures } = this;
    const isPlayed = status?.mode === 'replay' || status?.mode === 'backtest';
    for (const one of this.machine) one.element.hidden = isPlayed;
    // Measured from a trade on, of which strategies on klines know nothing.
    figures.decision.element.hidden ||= instrumentInfo(this.app)?.kind === 'bars';
    this.element.classList.toggle('is-played', isPlayed);
    figures.latency.set(quantiles(latency?.feed_ms));
    figures.decision.set(quantiles(latency?.decision_us));
    figures.ack.set(quantiles(latency?.ack_ms));
    // A replay goes on while its node is silent: what was said yesterday is nothing about today.
    const isOfToday = account !== null && dayOf(account.ts) === dayOf(status?.replay?.at ?? account.ts);
    const day = isOfToday ? Number(account.day_pnl) : NaN;
    figures.equity.set(account ? fixed(Number(account.equity), 2) : MISSING);
    figures.day.set(isOfToday ? arrowed(day, 2) : MISSING, signTone(day));
    figures.closed.set(...realised(isOfToday ? account.closed : null));
    figures.drawdown.set(account ? `${fixed(account.dd_pct, 2)}%` : MISSING, account && account.dd_pct > MAX_DD_WARN ? 'warn' : '');
    const models = status?.models ?? [];
    const model = models.find((one) => one.ins === market.ins) ?? models.find((one) => one.ins === '*');
    figures.model.set(model ? words(model.verdict) : 'none', !model ? 'muted' : verdictTone(model.verdict));
  }
}
