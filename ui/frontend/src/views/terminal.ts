/** The terminal page: chart, side panel and tables, with movable borders. */
import type { App } from '../app.ts';
import { h } from '../lib/dom.ts';
import { ChartPanel } from './chart-panel.ts';
import { Dock } from './dock.ts';
import { InstrumentBar } from './instrument-bar.ts';
import { ReplayBar } from './replay-bar.ts';
import { SidePanel } from './side.ts';
import { openSymbols } from './symbols.ts';
import { Toolbar } from './toolbar.ts';

const SIDE_RANGE = [220, 520] as const;
const DOCK_RANGE = [90, 600] as const;
const KEY_STEP = 20;

export class TerminalPage {
  readonly element: HTMLElement;
  readonly chart: ChartPanel;
  readonly dock: Dock;
  readonly bar: InstrumentBar;
  private readonly app: App;
  private readonly side: SidePanel;

  constructor(app: App) {
    this.app = app;
    this.chart = new ChartPanel(app);
    this.dock = new Dock(app);
    this.bar = new InstrumentBar(app, () => openSymbols(app));
    const side = (this.side = new SidePanel(app));
    this.chart.element.addEventListener('pick', (event) => this.pick((event as CustomEvent<string>).detail));
    this.element = h(
      'main.terminal', {}, this.bar.element,
      h('div.chart-area', {}, new Toolbar(app, this.chart).element, this.chart.element, new ReplayBar(app).element),
      this.border('side-border', 'vertical', SIDE_RANGE, 'sideWidth', 'clientX'), side.element,
      this.border('dock-border', 'horizontal', DOCK_RANGE, 'blotterHeight', 'clientY'), this.dock.element,
    );
    app.settings.on(() => this.size());
    this.size();
  }

  /** Say in the side panel what an object of the chart is; null shows the last decision again. */
  pick(object: string | null): void {
    this.side.pick(object);
  }

  private size(): void {
    const { sideWidth, blotterHeight } = this.app.settings.current;
    this.element.style.setProperty('--side', `${sideWidth}px`);
    this.element.style.setProperty('--dock', `${blotterHeight}px`);
  }

  /** A border that is dragged, or moved with the arrow keys. */
  private border(
    name: string, orientation: string, range: readonly [number, number], setting: 'sideWidth' | 'blotterHeight', axis: 'clientX' | 'clientY',
  ): HTMLElement {
    const { settings } = this.app;
    const border = h(`div.border.${name}`, { role: 'separator', tabindex: '0', 'aria-orientation': orientation, 'aria-label': orientation === 'vertical' ? 'width of the side panel' : 'height of the tables' });
    const move = (size: number): void => {
      settings.remember({ [setting]: Math.round(Math.min(range[1], Math.max(range[0], size))) });
      this.size();
    };
    border.addEventListener('pointerdown', (down) => {
      border.setPointerCapture(down.pointerId);
      const [start, size] = [down[axis], settings.current[setting]];
      const drag = (event: PointerEvent): void => move(size + start - event[axis]);
      border.addEventListener('pointermove', drag);
      border.addEventListener('pointerup', () => border.removeEventListener('pointermove', drag), { once: true });
    });
    border.addEventListener('keydown', (event) => {
      const step = event.key === 'ArrowLeft' || event.key === 'ArrowUp' ? KEY_STEP : event.key === 'ArrowRight' || event.key === 'ArrowDown' ? -KEY_STEP : 0;
      if (!step) return;
      move(settings.current[setting] + step);
      event.preventDefault();
      event.stopPropagation();
    });
    return border;
  }
}
