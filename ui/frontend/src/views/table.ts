/** A table that draws only the rows in view: filter, order, CSV, keyboard. */
import { download, h, setText } from '../lib/dom.ts';

export interface ColumnSpec<Row> {
  name: string;
  /** Width in characters of the table's font; the last one takes what is left. */
  width: number;
  numeric?: boolean;
  text(row: Row): string;
  /** Class of the cell. */
  tone?(row: Row): string;
  /** To order by; the text otherwise. */
  value?(row: Row): number | string;
  /** Button in the cell; its key acts on the row that is selected. */
  action?: { label(row: Row): string; run(row: Row): void; obstacle(row: Row): string | null; key?: string };
}

export interface TableSpec<Row> {
  name: string;
  columns: ColumnSpec<Row>[];
  rows(): Row[];
  empty: string;
  /** What a row stays the same by, where each message makes it a new object; the object otherwise. */
  id?(row: Row): string;
  /** Enter or double click. */
  open?(row: Row): void;
}

const ROW_PX = 24;
const MARGIN_ROWS = 6;
const PX_PER_CHAR = 6.9;
/** Of a cell, left and right together. */
const PADDING_PX = 14;
/** A column grows with what it shows, up to so many times its width; the rest is told when it is pointed at. */
const MAX_GROWTH = 2;
/** By how many characters a capital is wider than one. */
const CAPITAL = 0.35;

/** A figure as programs read it; other text that a spreadsheet would take for a formula is marked as text. */
export function csvCell(text: string): string {
  const plain = text.replace(/^[▲▼] /, '').replaceAll('−', '-');
  if (/^[+-]?\d{1,3}(,\d{3})*(\.\d+)?$/.test(plain)) return plain.replaceAll(',', '');
  const safe = /^[=+\-@\t\r]/.test(plain) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

export class VirtualTable<Row> {
  readonly element: HTMLElement;
  readonly spec: TableSpec<Row>;
  private readonly body = h('div.t-body', { role: 'rowgroup' });
  private readonly spacer = h('div.t-spacer');
  private readonly scroller: HTMLElement;
  private readonly empty = h('div.t-empty');
  private readonly heads: HTMLElement[];
  private readonly pool: HTMLElement[] = [];
  private rows: Row[] = [];
  private filter = '';
  private order: { column: number; up: boolean } | null = null;
  private selected = -1;
  /** Characters that each column has room for. */
  private readonly widths: number[];
  private hasGrown = false;

  constructor(spec: TableSpec<Row>) {
    this.spec = spec;
    this.heads = spec.columns.map((column, index) =>
      h(`div.t-cell.t-head${column.numeric ? '.num' : ''}`, { role: 'columnheader', tabindex: '0', onclick: () => this.orderBy(index), onkeydown: (event: KeyboardEvent) => this.onHeadKey(event, index) }, column.name),
    );
    this.widths = spec.columns.map(({ width, name }) => Math.max(width, name.length));
    const head = h('div.t-row.t-heads', { role: 'row' }, ...this.heads);
    this.spacer.append(this.body);
    this.scroller = h(
      'div.t-scroll', { role: 'grid', tabindex: '0', 'aria-label': spec.name, onkeydown: (event: KeyboardEvent) => this.onKey(event), onscroll: () => this.draw(), onpointerover: tellCut },
      head, this.spacer, this.empty,
    );
    this.element = h('div.table', {}, this.scroller);
    this.setWidths();
    new ResizeObserver(() => this.draw()).observe(this.scroller);
  }

  /** Read the rows anew and draw what is in view. */
  refresh(): void {
    const words = this.filter.toLowerCase().split(/\s+/).filter(Boolean);
    const all = this.spec.rows();
    const before = this.rows;
    this.rows = words.length ? all.filter((row) => this.matches(row, words)) : all;
    if (this.order) this.sort(this.order.column, this.order.up);
    this.selected = this.moved(before, this.selected);
    const focused = this.pool.findIndex((line) => line.contains(document.activeElement));
    if (focused < 0) return this.draw();
    const [row, place] = [Number(this.pool[focused]!.dataset['row']), [...this.pool[focused]!.children].findIndex((cell) => cell.contains(document.activeElement))];
    this.draw();
    this.keepFocus(this.moved(before, row), place);
  }

  /** Where a row is now; what has no name and is a new object stays at its place. */
  private moved(before: Row[], index: number): number {
    const row = before[index];
    if (row === undefined) return -1;
    const { id } = this.spec;
    if (id) return this.rows.findIndex((one) => id(one) === id(row));
    const found = this.rows.indexOf(row);
    return found < 0 ? Math.min(index, this.rows.length - 1) : found;
  }

  /** A button is focused because of its row: the focus goes with that, or to the table if it is gone. */
  private keepFocus(index: number, place: number): void {
    const line = this.pool.find((one) => !one.hidden && Number(one.dataset['row']) === index);
    const button = line?.children[place]?.querySelector<HTMLElement>('button:not([hidden])');
    (button ?? this.scroller).focus({ preventScroll: true });
  }

  get count(): number {
    return this.rows.length;
  }

  setFilter(text: string): void {
    this.filter = text;
    this.refresh();
  }

  focus(): void {
    this.scroller.focus();
  }

  /** All rows that pass the filter, as a file. */
  csv(): void {
    const lines = [this.spec.columns.map((column) => csvCell(column.name)).join(',')];
    for (const row of this.rows) lines.push(this.spec.columns.map((column) => csvCell(column.text(row))).join(','));
    download(`${this.spec.name}.csv`, `${lines.join('\n')}\n`);
  }

  private matches(row: Row, words: string[]): boolean {
    const text = this.spec.columns.map((column) => column.text(row)).join(' ').toLowerCase();
    return words.every((word) => text.includes(word));
  }

  private orderBy(column: number): void {
    const up = this.order?.column === column ? !this.order.up : !this.spec.columns[column]!.numeric;
    this.order = { column, up };
    this.heads.forEach((head, index) => {
      if (index === column) head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
      else head.removeAttribute('aria-sort');
    });
    this.refresh();
  }

  private sort(index: number, up: boolean): void {
    const column = this.spec.columns[index]!;
    const value = column.value ?? column.text;
    const sign = up ? 1 : -1;
    this.rows = [...this.rows].sort((a, b) => {
      const [left, right] = [value(a), value(b)];
      return (left < right ? -1 : left > right ? 1 : 0) * sign;
    });
  }

  private draw(): void {
    const { rows, scroller } = this;
    this.spacer.style.height = `${rows.length * ROW_PX}px`;
    scroller.setAttribute('aria-rowcount', String(rows.length));
    this.empty.hidden = rows.length > 0;
    setText(this.empty, this.filter ? 'nothing matches the filter' : this.spec.empty);
    const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_PX) - MARGIN_ROWS);
    const visible = Math.ceil(scroller.clientHeight / ROW_PX) + 2 * MARGIN_ROWS;
    const last = Math.min(rows.length, first + visible);
    this.body.style.transform = `translateY(${first * ROW_PX}px)`;
    for (let index = first; index < last; index += 1) this.write(this.line(index - first), rows[index]!, index);
    for (let index = Math.max(0, last - first); index < this.pool.length; index += 1) this.pool[index]!.hidden = true;
    if (this.hasGrown) this.setWidths();
    this.hasGrown = false;
  }

  private setWidths(): void {
    const last = this.widths.length - 1;
    const px = this.widths.map((width) => `${Math.round(width * PX_PER_CHAR) + PADDING_PX}px`);
    this.element.style.setProperty('--columns', px.map((one, index) => (index === last ? `minmax(${one}, 1fr)` : one)).join(' '));
  }

  /** Make room for a text; the last column takes what is left. */
  private fit(place: number, text: string): void {
    const capitals = text.length > 3 ? (text.match(/[A-Z]/g)?.length ?? 0) : 0;
    const room = Math.min(Math.ceil(text.length + capitals * CAPITAL), this.spec.columns[place]!.width * MAX_GROWTH);
    if (room <= this.widths[place]! || place === this.widths.length - 1) return;
    this.widths[place] = room;
    this.hasGrown = true;
  }

  private line(place: number): HTMLElement {
    let line = this.pool[place];
    if (line) return line;
    line = h('div.t-row', { role: 'row', onclick: (event: PointerEvent) => this.click(event, Number(line!.dataset['row'])), ondblclick: () => {
      getSelection()?.removeAllRanges();
      this.open();
    } });
    for (const column of this.spec.columns) line.append(this.cell(column, line));
    this.pool.push(line);
    this.body.append(line);
    return line;
  }

  private cell(column: ColumnSpec<Row>, line: HTMLElement): HTMLElement {
    const { action } = column;
    if (!action) return h('div.t-cell', { role: 'gridcell' });
    // Rows move while a button is held down: what counts is the row under it when it was pressed.
    let pressed: Row | undefined;
    const current = (): Row | undefined => this.rows[Number(line.dataset['row'])];
    const run = (event: Event): void => {
      event.stopPropagation();
      // A click of the keyboard presses nothing before; what was pressed last was perhaps let go elsewhere.
      const row = (event as MouseEvent).detail === 0 ? current() : (pressed ?? current());
      pressed = undefined;
      if (row) action.run(row);
    };
    const press = (): void => {
      pressed = current();
    };
    return h('div.t-cell', { role: 'gridcell' }, h('button.btn.tiny', { onpointerdown: press, onclick: run }));
  }

  private write(line: HTMLElement, row: Row, index: number): void {
    line.hidden = false;
    line.dataset['row'] = String(index);
    line.setAttribute('aria-rowindex', String(index + 1));
    line.setAttribute('aria-selected', String(index === this.selected));
    this.spec.columns.forEach((column, place) => {
      const cell = line.children[place] as HTMLElement;
      if (column.action) return this.writeAction(cell.firstElementChild as HTMLButtonElement, column.action, row);
      const text = column.text(row);
      setText(cell, text);
      this.fit(place, text);
      const name = `t-cell${column.numeric ? ' num' : ''} ${column.tone?.(row) ?? ''}`;
      if (cell.className !== name) cell.className = name;
    });
  }

  private writeAction(button: HTMLButtonElement, action: NonNullable<ColumnSpec<Row>['action']>, row: Row): void {
    const label = action.label(row);
    const obstacle = action.obstacle(row);
    setText(button, label);
    button.hidden = !label;
    button.disabled = obstacle !== null;
    button.title = obstacle ?? '';
  }

  /** A finger has neither Enter nor a double click that every browser tells: its second tap opens. */
  private click(event: PointerEvent, index: number): void {
    if (event.pointerType === 'touch' && index === this.selected) this.open();
    else this.select(index);
  }

  private select(index: number): void {
    this.selected = Math.min(Math.max(0, index), this.rows.length - 1);
    const top = this.selected * ROW_PX;
    const { scroller } = this;
    if (top < scroller.scrollTop) scroller.scrollTop = top;
    else if (top + 2 * ROW_PX > scroller.scrollTop + scroller.clientHeight) scroller.scrollTop = top + 2 * ROW_PX - scroller.clientHeight;
    this.draw();
  }

  private open(): void {
    const row = this.rows[this.selected];
    if (row) this.spec.open?.(row);
  }

  private onHeadKey(event: KeyboardEvent, index: number): void {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    this.orderBy(index);
    event.preventDefault();
    event.stopPropagation();
  }

  /** Do what a letter does to the row that is selected; return whether it is one of this table. */
  private act(event: KeyboardEvent): boolean {
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    const action = this.spec.columns.find((column) => column.action?.key === event.key.toLowerCase())?.action;
    const row = this.rows[this.selected];
    if (action && row && !event.repeat && action.label(row) && action.obstacle(row) === null) action.run(row);
    return Boolean(action);
  }

  private onKey(event: KeyboardEvent): void {
    // The keys of a button are its own: Enter clicks it, and its row need not be the one that is selected.
    if (event.target instanceof Element && event.target.closest('button')) return;
    if (this.act(event)) return event.preventDefault();
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / ROW_PX) - 2);
    const steps: Record<string, number> = {
      ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.rows.length, End: this.rows.length,
    };
    const step = steps[event.key];
    if (event.key === 'Enter') this.open();
    else if (step === undefined) return;
    else this.select(this.selected + step);
    event.preventDefault();
  }
}

/** Tell the whole of a text that its cell cuts off. */
function tellCut({ target }: Event): void {
  if (!(target instanceof HTMLElement) || !target.matches('.t-cell')) return;
  target.title = target.scrollWidth > target.clientWidth ? (target.textContent ?? '') : '';
}
