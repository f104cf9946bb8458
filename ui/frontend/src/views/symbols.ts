/** Switch between many instruments: type a part of the name, arrows, Enter. */
import type { App } from '../app.ts';
import { modal } from '../actions/dialog.ts';
import { h, setText } from '../lib/dom.ts';
import { percent, signed, symbolOf } from '../lib/format.ts';
import { skipWords } from '../lib/reasons.ts';
import type { InstrumentInfo } from '../net/protocol.ts';

export function openSymbols(app: App): void {
  const input = h<HTMLInputElement>('input.field', { type: 'search', placeholder: 'Symbol', 'aria-label': 'search symbols', autocomplete: 'off', spellcheck: 'false', role: 'combobox', 'aria-expanded': 'true', 'aria-controls': 'symbol-list' });
  const list = h('ul.symbol-list', { id: 'symbol-list', role: 'listbox', 'aria-label': 'symbols' });
  const count = h('p.muted.small.symbol-count', { 'aria-live': 'polite' });
  const dialog = modal(h('div', {}, h('h2.hidden', {}, 'Switch symbol'), input, list, count), 'dialog.symbols');
  let found: InstrumentInfo[] = [];
  let chosen = 0;

  const choose = (index: number): void => {
    const info = found[index];
    if (!info) return;
    dialog.close();
    app.show(info.id);
  };
  const draw = (): void => {
    found = search(app, input.value);
    chosen = Math.min(Math.max(0, chosen), found.length - 1);
    list.replaceChildren(...found.map((info, index) => line(app, info, index === chosen, () => choose(index))));
    if (!found.length) list.append(h('li.muted', {}, 'no symbol matches'));
    setText(count, `${found.length} of ${app.store.status?.instruments.length ?? 0} symbols: ↑ ↓ and Enter choose`);
    list.children[chosen]?.scrollIntoView({ block: 'nearest' });
  };
  input.addEventListener('input', () => {
    chosen = 0;
    draw();
  });
  input.addEventListener('keydown', (event) => {
    const step = event.key === 'ArrowDown' ? 1 : event.key === 'ArrowUp' ? -1 : 0;
    if (event.key === 'Enter') choose(chosen);
    else if (!step) return;
    chosen += step;
    draw();
    event.preventDefault();
  });
  draw();
  input.focus();
}

/** Those with a position first, then those with orders; names that begin with the text before others. */
function search(app: App, text: string): InstrumentInfo[] {
  const wanted = text.trim().toUpperCase();
  const weight = (info: InstrumentInfo): number => {
    const held = app.store.openPositions(info.id).length ? 4 : app.store.workingOrders(info.id).length ? 2 : 0;
    return held + (wanted && info.id.toUpperCase().startsWith(wanted) ? 8 : 0);
  };
  const instruments = app.store.status?.instruments ?? [];
  return instruments
    .filter((info) => info.id.toUpperCase().includes(wanted))
    .sort((a, b) => weight(b) - weight(a) || a.id.localeCompare(b.id));
}

function line(app: App, info: InstrumentInfo, isChosen: boolean, run: () => void): HTMLElement {
  const [position] = app.store.openPositions(info.id);
  const orders = app.store.workingOrders(info.id).length;
  const held = position
    ? h(`span.tag.${position.side === 'long' ? 'up' : 'down'}`, {}, `${position.side === 'long' ? '▲' : '▼'} ${position.r === null ? position.side : `${signed(position.r, 1)} R`}`)
    : orders ? h('span.tag.accent', {}, `${orders} working`) : lastSignal(app, info.id);
  return h(
    'li', { role: 'option', 'aria-selected': String(isChosen), onclick: run },
    h('b', {}, symbolOf(info.id)), h('span.muted.small', {}, info.id.slice(symbolOf(info.id).length + 1)), h('div.spring'), held,
  );
}

/** What a coin was last signalled at: of a hundred, those where something happens. */
function lastSignal(app: App, ins: string): HTMLElement | null {
  const last = app.store.signals.findLast((one) => one.ins === ins && one.confidence !== null);
  if (!last) return null;
  const said = `${last.side > 0 ? '▲' : '▼'} ${percent(last.confidence, 0)} at ${app.clock().date(last.ts)}`;
  return h('span.muted.small.num', { title: last.skip ? `skipped: ${skipWords(last.skip)}` : 'taken' }, said);
}
