/** One line of numbers per pane for the row under the cursor, else for the last one. */
import { instrumentInfo, pricePlaces, type App } from '../app.ts';
import type { ChartHost, PaneSpec } from '../chart/host.ts';
import { PANE_TITLES } from '../chart/panes.ts';
import type { Scene } from '../chart/painter.ts';
import { compact, fixed, percent, score, signed, signTone } from '../lib/format.ts';
import { h, setText } from '../lib/dom.ts';
import type { PaneName } from '../store/settings.ts';

/** A value with its label, and its tone: up, down, model ... */
type Cell = [label: string, value: string, tone?: string];
type Read = (field: string) => number;

export class Legend {
  private readonly rows = new Map<string, HTMLElement>();
  private readonly container: HTMLElement;
  private readonly app: App;
  private readonly scene: () => Scene;

  constructor(container: HTMLElement, app: App, scene: () => Scene) {
    this.container = container;
    this.app = app;
    this.scene = scene;
  }

  /** Make a line for each pane of a chart. */
  rebuild(specs: PaneSpec[]): void {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
    for (const { name } of specs) {
      const row = h('div.legend', { 'data-pane': name });
      this.rows.set(name, row);
      this.container.append(row);
    }
  }

  place(host: ChartHost): void {
    const tops = host.paneTops();
    [...this.rows.values()].forEach((row, index) => {
      const top = `${(tops[index] ?? 0) + 5}px`;
      if (row.style.top !== top) row.style.top = top;
    });
  }

  update(row: number): void {
    const { columns } = this.scene();
    const read: Read = (field) => columns.column(field)?.[row] ?? NaN;
    for (const [name, element] of this.rows) write(element, columns.length ? this.cells(name, read, row) : []);
  }

  private cells(name: string, read: Read, row: number): Cell[] {
    if (name === 'price') return this.priceCells(read, row);
    const title: Cell = ['', PANE_TITLES[name as PaneName], 'title'];
    switch (name as PaneName) {
      case 'imbalance':
        return [title, ['', signed(read('imb'), 3), signTone(read('imb'))], ['delta', compact(read('bv') - read('sv')), signTone(read('bv') - read('sv'))]];
      case 'vpin':
        return [title, ['', fixed(read('vpin'), 3), 'accent'], ['vol', percent(read('vol'), 3)]];
      case 'model':
        return [title, this.scene().columns.fields.includes('p') ? ['', fixed(read('p'), 3), 'model'] : this.signalCell()];
      case 'score':
        return [title, ['long', score(read('score_long')), 'up'], ['short', score(read('score_short')), 'down'], ...this.leastCells()];
      case 'volume':
        return [title, ['', compact(read('v'))]];
    }
  }

  /** Of klines the last signal that the model was asked about. */
  private signalCell(): Cell {
    const { signals, market } = this.app.store;
    const last = signals.findLast((one) => one.ins === market.ins && typeof one.thr === 'number');
    return last ? ['last signal', `${fixed(last.p, 3)} / ${fixed(last.thr, 3)}`, 'model'] : ['', 'asked about each signal; none yet'];
  }

  private leastCells(): Cell[] {
    const least = instrumentInfo(this.app)?.min_score;
    return typeof least === 'number' ? [['signal from', score(least), 'warn']] : [];
  }

  private priceCells(read: Read, row: number): Cell[] {
    const { app } = this;
    const places = pricePlaces(app);
    const change = (read('c') / read('o') - 1) * 100;
    const cells: Cell[] = (['o', 'h', 'l', 'c'] as const).map((field) => [field.toUpperCase(), fixed(read(field), places)]);
    cells.push(['', `${signed(change, 2)}%`, signTone(change)]);
    const bucket = read('bv');
    if (Number.isNaN(bucket)) return [['', app.store.market.shownBars(app.settings.current.timeframe)?.timeframe ?? '', 'title'], ...cells];
    cells.unshift(['', `#${read('i')}`, 'title']);
    cells.push(['vol', compact(read('v'))], ['trades', fixed(read('n'), 0)], ['', durationOf(read)]);
    const { fill, columns } = app.store.market.buckets;
    if (row === columns.length - 1 && !Number.isNaN(fill)) cells.push(['forming', percent(fill, 0), 'accent']);
    if (read('tainted')) cells.push(['', 'tainted', 'warn']);
    return cells;
  }
}

function durationOf(read: Read): string {
  const secs = (read('t1') - read('t0')) / 1000;
  return secs < 60 ? `${secs.toFixed(2)} s` : `${(secs / 60).toFixed(1)} min`;
}

/** Reuse the spans of the line: it is rewritten at every move of the cursor. */
function write(element: HTMLElement, cells: Cell[]): void {
  while (element.children.length > cells.length) element.lastElementChild!.remove();
  cells.forEach(([label, value, tone], index) => {
    let cell = element.children[index] as HTMLElement | undefined;
    if (!cell) {
      cell = h('span.cell', {}, h('i'), h('b'));
      element.append(cell);
    }
    setText(cell.children[0]!, label);
    setText(cell.children[1]!, value);
    const name = tone ? `cell ${tone}` : 'cell';
    if (cell.className !== name) cell.className = name;
  });
}
