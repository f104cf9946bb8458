/** The chart with its legend, its cards and what the store tells it. */
import { instrumentInfo, pricePlaces, type App } from '../app.ts';
import { levelLines, marks, modelDots, signalDots, thresholdOf, zoneBoxes, type Locator } from '../chart/annotations.ts';
import { ChartHost, type Pointer } from '../chart/host.ts';
import { quantile } from '../chart/oscillators.ts';
import { makePanes, type Painters, type ViewPanes } from '../chart/panes.ts';
import type { Scene } from '../chart/painter.ts';
import { readPalette } from '../chart/palette.ts';
import { h, replace } from '../lib/dom.ts';
import { Columns } from '../store/columns.ts';
import type { BarSeries } from '../store/market.ts';
import { explain } from './explain.ts';
import { Legend } from './legend.ts';
import { barCard } from './signal-card.ts';
import { WantedMoment } from './wanted-moment.ts';

const TOXIC_SHARE = 0.9;
const PAGE_MARGIN_ROWS = 300;
const EMPTY = new Columns<string>([]);

export class ChartPanel {
  readonly element: HTMLElement;
  host!: ChartHost;
  private readonly app: App;
  private readonly canvas = h('div.chart-canvas', { role: 'img', 'aria-label': 'price chart; figures under the cursor are in the legend' });
  private readonly card = h('div.hover-card', { role: 'status', hidden: true });
  private readonly empty = h('div.chart-empty', {}, 'waiting for buckets');
  private readonly legend: Legend;
  private readonly scene: Scene;
  private panes!: ViewPanes;
  private cursor: number | null = null;
  private hovered: string | null = null;
  private pointed: { x: number; y: number } | null = null;
  private levelRows = 0;
  private shape = '';
  private fitted = '';
  private readonly wanted = new WantedMoment();
  private readonly followListeners: ((following: boolean) => void)[] = [];

  constructor(app: App) {
    this.app = app;
    this.scene = { columns: EMPTY, palette: readPalette() };
    this.element = h('section.chart', { 'aria-label': 'chart' }, this.canvas, this.empty, this.card);
    this.legend = new Legend(this.element, app, () => this.scene);
    this.build();
    app.settings.on(() => this.onSettings());
    const { store } = app;
    store.on(['history', 'bars', 'status'], () => this.fitView());
    store.on(['history', 'bars', 'status'], () => this.reload());
    store.on(['buckets'], () => this.advance());
    store.on(['zones'], () => this.drawZones());
    store.on(['signals', 'cancels', 'fills'], () => this.drawMarks());
    store.on(['signals'], () => this.drawModel());
    store.on(['decisions'], () => (this.shapeOf() === this.shape ? this.drawModel() : this.rebuild()));
    store.on(['orders', 'positions'], () => this.drawLines());
    for (const moved of ['pointerdown', 'wheel'] as const) this.element.addEventListener(moved, () => this.wanted.forget(), { passive: true });
    window.addEventListener('pagehide', () => this.keepHeights());
    new ResizeObserver(() => this.placeLegend()).observe(this.canvas);
  }

  onFollow(listener: (following: boolean) => void): void {
    this.followListeners.push(listener);
  }

  /** Put the row of a time in the middle. */
  reveal(ms: number): void {
    const { store, feed, settings } = this.app;
    const { columns } = store.market.buckets;
    // Older than what is loaded: shown when it is here.
    if (settings.current.view === 'buckets' && columns.length && ms < columns.at('t0', 0)) {
      this.revealOf(store.market.ins, ms);
      void feed.older();
    }
    this.host.reveal(Math.max(0, this.locator().row(null, ms)));
  }

  /** The same of an instrument that is being loaded. */
  revealOf(ins: string, ms: number): void {
    this.wanted.want(ins, ms, performance.now());
  }

  private get painters(): Painters {
    return this.panes.painters;
  }

  private barSeries(): BarSeries | undefined {
    return this.app.store.market.shownBars(this.app.settings.current.timeframe);
  }

  private build(): void {
    const { settings } = this.app;
    this.shape = this.shapeOf();
    this.scene.palette = readPalette();
    this.panes = makePanes(() => this.scene, settings.current, this.hasModel());
    this.host = new ChartHost(this.canvas, () => this.scene, () => this.app.clock(), this.panes.specs, pricePlaces(this.app));
    this.host.onPointer((pointer) => this.onPointer(pointer));
    this.host.onClick((object) => this.select(object));
    this.host.onRange((from) => {
      if (from < PAGE_MARGIN_ROWS && settings.current.view === 'buckets') void this.app.feed.older();
      for (const listener of this.followListeners) listener(this.host.isFollowing);
    });
    this.painters.candles.colouring = settings.current.candles;
    this.legend.rebuild(this.panes.specs);
    this.reload();
  }

  /** What a chart cannot change once it is made. */
  private shapeOf(): string {
    const { view, panes, zone } = this.app.settings.current;
    return JSON.stringify([view, panes, zone, this.app.store.market.ins, pricePlaces(this.app), this.hasModel()]);
  }

  /** Where no model decides, its pane would stay empty for ever. */
  private hasModel(): boolean {
    const { store } = this.app;
    return !store.status || store.status.models.length > 0 || store.decisions.size > 0;
  }

  /** An instrument on klines has no buckets, and others have no klines: show what there is once it is chosen. */
  private fitView(): void {
    const { settings } = this.app;
    const info = instrumentInfo(this.app);
    const chosen = info ? `${info.id} ${info.kind}` : this.fitted;
    if (!info || chosen === this.fitted) return;
    this.fitted = chosen;
    if (settings.current.view !== info.kind) settings.set({ view: info.kind });
  }

  private rebuild(): void {
    this.keepHeights();
    this.host.remove();
    this.build();
  }

  private onSettings(): void {
    if (this.shapeOf() !== this.shape) return this.rebuild();
    this.scene.palette = readPalette();
    this.painters.candles.colouring = this.app.settings.current.candles;
    this.host.paintTheme();
    this.reload();
  }

  /** The chart follows its size in frames of its own: a line that is placed before lies over another pane. */
  private placeLegend(): void {
    this.legend.place(this.host);
    requestAnimationFrame(() => requestAnimationFrame(() => this.legend.place(this.host)));
  }

  private keepHeights(): void {
    const { settings } = this.app;
    settings.remember({ paneHeights: { ...settings.current.paneHeights, ...this.host.paneHeights() } });
  }

  private reload(): void {
    const { store, settings } = this.app;
    if (this.shapeOf() !== this.shape) return this.rebuild();
    const isBars = settings.current.view === 'bars';
    const columns: Columns = isBars ? (this.barSeries()?.columns ?? EMPTY) : store.market.buckets.columns;
    const isOther = columns !== this.scene.columns;
    this.scene.columns = columns;
    this.empty.textContent = emptyText(this.app);
    this.painters.score.least = instrumentInfo(this.app)?.min_score ?? NaN;
    this.showEmpty(columns.length === 0);
    if (columns === EMPTY) return;
    if (!isBars) this.refreshLevel();
    if (isOther) this.host.forget();
    this.host.sync();
    this.annotate();
    const ms = this.wanted.next(store.market.ins, columns.length ? columns.at('t0', 0) : undefined, performance.now());
    if (ms !== null) this.reveal(ms);
  }

  private showEmpty(isEmpty: boolean): void {
    this.empty.hidden = !isEmpty;
    this.element.classList.toggle('is-empty', isEmpty);
  }

  /** New rows of the buckets: the common case, 25 times a second. */
  private advance(): void {
    if (this.app.settings.current.view === 'bars') return;
    const { columns } = this.app.store.market.buckets;
    if (this.scene.columns !== columns) return this.reload();
    if (columns.length - this.levelRows > 500) this.refreshLevel();
    const before = columns.origin;
    this.host.sync();
    this.showEmpty(columns.length === 0);
    if (columns.origin !== before) this.annotate();
    this.legend.place(this.host);
    this.legend.update(this.row());
  }

  private refreshLevel(): void {
    const { columns } = this.app.store.market.buckets;
    this.painters.vpin.level = quantile(columns, 'vpin', TOXIC_SHARE);
    this.levelRows = columns.length;
  }

  private annotate(): void {
    this.drawZones();
    this.drawMarks();
    this.drawModel();
    this.drawLines();
    this.legend.place(this.host);
    this.legend.update(this.row());
  }

  private drawZones(): void {
    const { store, settings } = this.app;
    this.painters.zones.boxes = zoneBoxes(store, store.market.ins, settings.current.overlays, this.locator());
    this.painters.zones.repaint();
  }

  private drawMarks(): void {
    const { store, settings } = this.app;
    this.painters.marks.marks = settings.current.overlays.markers ? marks(store, store.market.ins, this.locator()) : [];
    this.painters.marks.repaint();
  }

  private drawModel(): void {
    const { store } = this.app;
    const isBars = this.app.settings.current.view === 'bars';
    const dots = (isBars ? signalDots : modelDots)(store, store.market.ins, this.locator());
    this.painters.model.dots = dots;
    this.painters.model.threshold = isBars ? (dots.at(-1)?.threshold ?? NaN) : thresholdOf(store, store.market.ins);
    this.painters.model.repaint();
  }

  private drawLines(): void {
    const { store } = this.app;
    this.host.setLines(levelLines(store, store.market.ins, this.scene.palette));
  }

  private locator(): Locator {
    const { columns } = this.scene;
    const { buckets } = this.app.store.market;
    const isBars = this.app.settings.current.view === 'bars';
    const bars = this.barSeries();
    return {
      row: (seq, ms) => (isBars ? (bars?.rowOf(seq, ms) ?? -1) : seq === null ? buckets.rowAt(ms) : buckets.rowOf(seq)),
      close: (row) => columns.at('c', row),
      end: () => columns.length,
    };
  }

  private row(): number {
    return this.cursor ?? this.scene.columns.length - 1;
  }

  private onPointer({ row, object, point }: Pointer): void {
    this.cursor = row;
    this.legend.place(this.host);
    this.legend.update(this.row());
    const id = object ?? (row === null ? null : this.barId(row));
    if (id !== this.hovered) {
      this.hovered = id;
      const body = id === null ? null : this.describe(id);
      this.card.hidden = !body;
      if (body) replace(this.card, body);
    }
    // A repaint under a resting cursor comes without its place.
    this.pointed = point ?? this.pointed;
    if (!this.card.hidden && this.pointed) this.placeCard(this.pointed);
  }

  /** Bars explain themselves by their factors. */
  private barId(row: number): string | null {
    const bars = this.app.settings.current.view === 'bars' ? this.barSeries() : undefined;
    const time = bars?.columns.at('t0', row);
    return time !== undefined && bars?.factors.has(time) ? `bar:${time}` : null;
  }

  private describe(id: string): HTMLElement | null {
    if (!id.startsWith('bar:')) return explain(this.app, id);
    const [t, bars] = [Number(id.slice(4)), this.barSeries()!];
    const row = bars.rowAt(t);
    const [long, short] = (['score_long', 'score_short'] as const).map((side) => bars.columns.at(side, row)) as [number, number];
    return barCard(this.app, { ins: this.app.store.market.ins, t, long, short, factors: bars.factors.get(t) ?? {} });
  }

  private placeCard(point: { x: number; y: number }): void {
    const box = this.element.getBoundingClientRect();
    const [width, height] = [this.card.offsetWidth, this.card.offsetHeight];
    const x = point.x - box.left;
    const left = x + 18 + width > box.width - 76 ? x - width - 18 : x + 18;
    const top = Math.min(Math.max(4, point.y - box.top - height / 2), box.height - height - 30);
    this.card.style.transform = `translate(${Math.max(4, Math.round(left))}px, ${Math.round(top)}px)`;
  }

  private select(object: string | null): void {
    this.painters.zones.selected = object?.startsWith('zone:') ? object.slice(5) : null;
    this.painters.zones.repaint();
    if (object) this.element.dispatchEvent(new CustomEvent('pick', { detail: object, bubbles: true }));
  }
}

/** Why there is nothing to see yet, or never will be. */
export function emptyText(app: App): string {
  const { store, settings } = app;
  const kind = instrumentInfo(app)?.kind;
  if (settings.current.view === 'buckets') return kind === 'bars' ? 'no buckets of this instrument: its strategy works on klines (V shows them)' : 'waiting for buckets';
  if (kind === 'buckets') return 'no klines of this instrument: its strategy works on buckets (V shows them)';
  const { ins } = store.market;
  const hold = store.status?.holds.find((one) => !one.ins || one.ins === ins);
  return hold ? `waiting for klines: ${hold.reason}` : 'waiting for the next kline to close';
}
