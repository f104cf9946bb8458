/** The foot of the terminal: tabs of tables with filter and CSV. */
import type { App } from '../app.ts';
import { h, setText } from '../lib/dom.ts';
import { blotters, type Blotter } from './blotters.ts';
import { VirtualTable } from './table.ts';

/** Tables are read at most this often; a person reads no faster. */
const REFRESH_MS = 250;

export class Dock {
  readonly element: HTMLElement;
  private readonly app: App;
  private readonly list: Blotter[];
  private readonly tabs = h('div.tabs', { role: 'tablist', 'aria-label': 'tables' });
  private readonly panel = h('div.dock-panel', { role: 'tabpanel', id: 'dock-panel' });
  private readonly filter = h<HTMLInputElement>('input.field.filter', { type: 'search', placeholder: 'Filter', 'aria-label': 'filter the table' });
  private readonly tables = new Map<string, VirtualTable<never>>();
  private shown = '';
  private timer = 0;

  constructor(app: App) {
    this.app = app;
    this.list = blotters(app);
    const csv = h('button.btn.tiny', { title: 'download these rows', onclick: () => this.table().csv() }, 'CSV');
    for (const { title, table } of this.list) {
      this.tabs.append(h(
        'button.tab', { role: 'tab', type: 'button', 'data-tab': table.name, 'aria-controls': 'dock-panel', onclick: () => this.show(table.name) },
        title, h('span.count'),
      ));
    }
    this.tabs.addEventListener('keydown', (event) => this.onKey(event));
    this.element = h('section.dock', { 'aria-label': 'tables' }, h('div.dock-head', {}, this.tabs, h('div.spring'), this.filter, csv), this.panel);
    this.filter.addEventListener('input', () => this.table().setFilter(this.filter.value));
    for (const { topics } of this.list) app.store.on(topics, () => this.later());
    app.commands.on(() => this.later());
    const wanted = app.settings.current.tab;
    this.show(this.list.some(({ table }) => table.name === wanted) ? wanted : 'orders');
  }

  focus(): void {
    this.table().focus();
  }

  private show(name: string): void {
    this.shown = name;
    if (this.app.settings.current.tab !== name) this.app.settings.remember({ tab: name });
    for (const tab of this.tabs.children as Iterable<HTMLElement>) {
      const isShown = tab.dataset['tab'] === name;
      tab.setAttribute('aria-selected', String(isShown));
      tab.tabIndex = isShown ? 0 : -1;
    }
    this.panel.replaceChildren(this.table().element);
    this.filter.value = '';
    this.table().setFilter('');
    this.count();
  }

  private table(): VirtualTable<never> {
    let table = this.tables.get(this.shown);
    if (!table) {
      const { table: spec } = this.list.find(({ table: one }) => one.name === this.shown)!;
      this.tables.set(this.shown, (table = new VirtualTable(spec)));
    }
    return table;
  }

  private later(): void {
    if (this.timer) return;
    this.timer = window.setTimeout(() => {
      this.timer = 0;
      this.table().refresh();
      this.count();
    }, REFRESH_MS);
  }

  /** Numbers that a person watches: working orders and open positions. */
  private count(): void {
    const { store } = this.app;
    const counts: Record<string, number> = { orders: store.workingOrders().length, positions: store.openPositions().length };
    for (const tab of this.tabs.children as Iterable<HTMLElement>) {
      const count = counts[tab.dataset['tab']!] ?? 0;
      setText(tab.lastElementChild!, count ? String(count) : '');
    }
  }

  private onKey(event: KeyboardEvent): void {
    const step = event.key === 'ArrowRight' ? 1 : event.key === 'ArrowLeft' ? -1 : 0;
    if (!step) return;
    const index = this.list.findIndex(({ table }) => table.name === this.shown);
    this.show(this.list[(index + step + this.list.length) % this.list.length]!.table.name);
    (this.tabs.querySelector('[aria-selected=true]') as HTMLElement).focus();
  }
}
