/** The form of a backtest: fields from the registry's parameters, errors beside the field that is wrong. */
import { h, replace } from '../lib/dom.ts';

export interface Parameter {
  name: string;
  type: string;
  default: unknown;
  doc: string;
  /** Bounds of a number, both included; null for none. */
  min?: number | null;
  max?: number | null;
}

export interface Strategy {
  name: string;
  version: string;
  summary: string;
  parameters: Parameter[];
  error?: string | null;
}

const ROLES = ['ltf', 'mtf', 'htf'];
const TIMEFRAMES = ['1m', '3m', '5m', '15m', '30m', '1h', '2h', '4h', '6h', '12h', '1d'];

export class BacktestForm {
  readonly element: HTMLFormElement;
  private readonly strategies: Strategy[];
  private readonly strategy: HTMLSelectElement;
  private readonly symbols = h('datalist', { id: 'symbols' });
  private readonly summary = h('p.muted.small');
  private readonly roles = h('div');
  private readonly parameters = h('div.parameters');
  private readonly search = h<HTMLInputElement>('input.field', { type: 'search', placeholder: 'find a parameter', 'aria-label': 'find a parameter' });
  private readonly message = h('p.notice', { role: 'alert', hidden: true });
  private readonly submit = h<HTMLButtonElement>('button.btn.primary', { type: 'submit' }, 'Run backtest');

  constructor(strategies: Strategy[], run: (body: Record<string, unknown>) => Promise<void>) {
    this.strategies = strategies.filter((one) => !one.error);
    this.strategy = h<HTMLSelectElement>('select.field', { name: 'strategy' }, ...this.strategies.map((one) => h('option', { value: one.name }, one.name)));
    this.element = h<HTMLFormElement>(
      'form.backtest-form', { novalidate: true }, this.symbols,
      field('Strategy', this.strategy), this.summary,
      field('Symbols', h('input.field', { name: 'symbols', list: 'symbols', placeholder: 'XRPUSDT.BINANCE', title: 'instrument ids parted by spaces; empty for all of the catalog' })),
      h('div.pair', {}, field('Start (UTC)', h('input.field', { name: 'start', type: 'date' })), field('End (UTC)', h('input.field', { name: 'end', type: 'date' }))),
      this.roles,
      h('div.pair', {}, field('Balance', h('input.field', { name: 'balance', inputmode: 'decimal', placeholder: 'from the settings' })), field('Slippage', h('input.field', { name: 'slippage', placeholder: 'ticks, or 1.5bps' }))),
      h('div.pair', {}, field('Maker fee', h('input.field', { name: 'commission.maker', inputmode: 'decimal', placeholder: '0.001 is 0.1 %' })), field('Taker fee', h('input.field', { name: 'commission.taker', inputmode: 'decimal', placeholder: '0.001' }))),
      h('details', {}, h('summary', {}, 'Parameters'), this.search, this.parameters),
      this.message, this.submit,
    );
    this.strategy.addEventListener('change', () => this.choose());
    this.search.addEventListener('input', () => this.narrow());
    this.element.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.send(run);
    });
    const wanted = this.strategies.findIndex((one) => one.name === 'ote');
    this.strategy.selectedIndex = Math.max(0, wanted);
    this.choose();
  }

  /** Offer instruments of the catalog while one is typed. */
  suggest(symbols: string[]): void {
    replace(this.symbols, ...symbols.map((one) => h('option', { value: one })));
  }

  /** Mark the field that is wrong; `parameters.x`, `timeframes.ltf`, `symbols[0]` name fields too. */
  refuse(message: string, name: string | null): void {
    const plain = name?.replace(/\[\d+\]$/, '').replace(/^symbol$/, 'symbols').replace(/^commission$/, 'commission.maker');
    const target = plain ? this.element.querySelector<HTMLInputElement>(`[name="${CSS.escape(plain)}"]`) : null;
    this.message.hidden = false;
    this.message.textContent = name ? `${name}: ${message}` : message;
    if (!target) return;
    target.setAttribute('aria-invalid', 'true');
    target.closest('details')?.setAttribute('open', '');
    target.focus();
  }

  private current(): Strategy {
    return this.strategies[this.strategy.selectedIndex]!;
  }

  private choose(): void {
    const strategy = this.current();
    this.summary.textContent = strategy.summary;
    const names = new Set(strategy.parameters.map((one) => one.name));
    const roles = ROLES.filter((role) => names.has(`${role}_secs`));
    replace(this.roles, roles.length ? h('div.pair', {}, ...roles.map((role) => field(`${role.toUpperCase()} timeframe`, timeframes(role)))) : null);
    const shown = strategy.parameters.filter((one) => !ROLES.some((role) => one.name === `${role}_secs`));
    replace(this.parameters, ...shown.map(parameterField));
    this.narrow();
  }

  private narrow(): void {
    const text = this.search.value.toLowerCase();
    for (const line of this.parameters.children as Iterable<HTMLElement>) line.hidden = !line.textContent!.toLowerCase().includes(text);
  }

  private async send(run: (body: Record<string, unknown>) => Promise<void>): Promise<void> {
    this.message.hidden = true;
    for (const marked of this.element.querySelectorAll('[aria-invalid]')) marked.removeAttribute('aria-invalid');
    const fields = [...this.element.elements].filter((one): one is HTMLInputElement | HTMLSelectElement => 'name' in one && Boolean(one.name));
    const values = new Map(fields.map((one) => [one.name, one.value.trim()]));
    try {
      this.submit.disabled = true;
      await run(this.body(values));
    } catch (error) {
      const { message, field: name } = error as { message: string; field?: string | null };
      this.refuse(message, name ?? null);
    } finally {
      this.submit.disabled = false;
    }
  }

  /** Refuse a number that the strategy would refuse, before a process is started for it. */
  private check(name: string, key: string, text: string): void {
    const { type = '', min, max } = this.current().parameters.find((one) => one.name === key) ?? {};
    if (!/^(int|float|Decimal)( \| None)?$/.test(type) || (type.endsWith('None') && text === 'null')) return;
    const value = numberOf(name, text);
    const why = type.startsWith('int') && !Number.isInteger(value) ? 'is no whole number'
      : typeof min === 'number' && value < min ? `is below ${min}` : typeof max === 'number' && value > max ? `is above ${max}` : null;
    if (why) throw Object.assign(new Error(`${text} ${why}`), { field: name });
  }

  /** What was filled in; what was left empty is the server's to decide. */
  private body(values: Map<string, string>): Record<string, unknown> {
    const body: Record<string, unknown> = { strategy: this.current().name };
    const groups: Record<string, Record<string, unknown>> = { parameters: {}, timeframes: {}, commission: {} };
    for (const [name, text] of values) {
      if (!text || name === 'strategy') continue;
      const [group, key] = name.split('.');
      if (group === 'parameters') this.check(name, key!, text);
      if (key) groups[group!]![key] = group === 'commission' ? numberOf(name, text) : text;
      else if (name === 'symbols') body[name] = text.split(/[\s,]+/).filter(Boolean);
      else body[name] = name === 'balance' ? numberOf(name, text) : text;
    }
    for (const [group, given] of Object.entries(groups)) if (Object.keys(given).length) body[group] = given;
    const commission = groups['commission']!;
    if ('maker' in commission !== 'taker' in commission) body['commission'] = { maker: commission['maker'] ?? commission['taker'], taker: commission['taker'] ?? commission['maker'] };
    return body;
  }
}

function numberOf(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isFinite(value)) throw Object.assign(new Error(`${text} is no number`), { field: name });
  return value;
}

function field(label: string, input: HTMLElement): HTMLElement {
  return h('label.labelled', {}, h('span', {}, label), input);
}

function timeframes(role: string): HTMLElement {
  return h('select.field', { name: `timeframes.${role}` }, h('option', { value: '' }, 'default'), ...TIMEFRAMES.map((one) => h('option', { value: one }, one)));
}

/** A parameter by its type: choices as a list, numbers and text as a field whose placeholder is the default. */
function parameterField({ name, type, default: value, doc, min = null, max = null }: Parameter): HTMLElement {
  const choices = type === 'bool' ? ['true', 'false'] : type.startsWith("'") ? type.split('|').map((one) => one.trim().replaceAll("'", '')) : null;
  const fallback = value === null || value === undefined ? 'none' : String(value);
  const input = choices
    ? h('select.field', { name: `parameters.${name}` }, h('option', { value: '' }, `default (${fallback})`), ...choices.map((one) => h('option', { value: one }, one)))
    : h('input.field', { name: `parameters.${name}`, placeholder: fallback, inputmode: /^(int|float|Decimal)/.test(type) ? 'decimal' : 'text', autocomplete: 'off' });
  const bounds = min !== null && max !== null ? ` (${min} to ${max})` : min !== null ? ` (at least ${min})` : max !== null ? ` (at most ${max})` : '';
  return h('label.labelled.parameter', { title: `${doc}${bounds}` }, h('span', {}, name, h('small.muted', {}, ` ${type}`)), input);
}
