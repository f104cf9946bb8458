/** The chart library as a host: scale, panes, crosshair and gestures are its, everything drawn in them is ours. */
import {
  createChartEx, CrosshairMode, LineSeries, LineStyle, type IChartApiBase, type IPriceLine, type ISeriesApi,
  type MouseEventParams, type PriceLineOptions,
} from 'lightweight-charts';
import type { Clock } from '../lib/time.ts';
import type { Columns } from '../store/columns.ts';
import type { Painter, Scene } from './painter.ts';
import { alpha, type Palette } from './palette.ts';
import { BucketScale } from './scale.ts';

export interface PaneSpec {
  name: string;
  /** Fixed range, or how to find the one of the visible rows. */
  range: [number, number] | ((columns: Columns, from: number, to: number) => [number, number] | null);
  places: number;
  painters: Painter[];
  stretch: number;
}

export interface LevelLine {
  id: string;
  price: number;
  title: string;
  colour: string;
  dashed: boolean;
}

export interface Pointer {
  row: number | null;
  object: string | null;
  point: { x: number; y: number } | null;
}

type Series = ISeriesApi<'Line', number>;

/** Applying options repaints everything, and positions are told of 25 times a second. */
function hasChanged(line: IPriceLine, wanted: Partial<PriceLineOptions>): boolean {
  const now = line.options();
  return now.price !== wanted.price || now.color !== wanted.color || now.title !== wanted.title || now.lineStyle !== wanted.lineStyle;
}

const HOME_ROWS = 180;
/** A line within so many visible price ranges of them widens the picture. */
const LINE_ROOM = 1;
/** Kept free at the right edge. */
const FREE_ROWS = 8;

export class ChartHost {
  readonly chart: IChartApiBase<number>;
  private readonly scene: () => Scene;
  private readonly series: Series[] = [];
  private readonly specs: PaneSpec[];
  private readonly scale: BucketScale;
  private readonly lines = new Map<string, IPriceLine>();
  /** Key of the row that carries the one real point of each series. */
  private anchor = NaN;
  private origin = NaN;
  private closeValue = NaN;

  constructor(container: HTMLElement, scene: () => Scene, clock: () => Clock, specs: PaneSpec[], places: number) {
    this.scene = scene;
    this.specs = specs;
    this.scale = new BucketScale({ time: (key) => this.timeOf(key), label: (key) => this.labelOf(key, clock()) }, clock);
    this.chart = createChartEx<number, BucketScale>(container, this.scale, {
      autoSize: true,
      layout: { attributionLogo: false, panes: { enableResize: true } },
      crosshair: { mode: CrosshairMode.Normal },
      timeScale: { rightOffset: FREE_ROWS, barSpacing: 6, minBarSpacing: 0.005, shiftVisibleRangeOnNewBar: true, lockVisibleTimeRangeOnResize: true },
    });
    specs.forEach((spec, index) => this.addPane(spec, index, index === 0 ? places : spec.places));
    specs.forEach((spec, index) => this.chart.panes()[index]?.setStretchFactor(spec.stretch));
    this.paintTheme();
  }

  /** Number of the row from its key; the library's logical index is the same. */
  private rowOf(key: number): number {
    return key - this.scene().columns.origin;
  }

  private timeOf(key: number): number {
    return this.scene().columns.at('t1', this.rowOf(key));
  }

  private labelOf(key: number, clock: Clock): string {
    const { columns } = this.scene();
    const row = this.rowOf(key);
    const seq = columns.at('i', row);
    const time = columns.at('t1', row);
    return seq === time ? clock.date(time) : `#${seq}  ${clock.stamp(time)}`;
  }

  private addPane(spec: PaneSpec, index: number, places: number): void {
    const series = this.chart.addSeries(
      LineSeries,
      {
        lineVisible: false, pointMarkersVisible: false, crosshairMarkerVisible: false,
        lastValueVisible: index === 0, priceLineVisible: index === 0, priceLineStyle: LineStyle.Dotted,
        priceFormat: { type: 'price', precision: places, minMove: 10 ** -places },
        autoscaleInfoProvider: () => {
          const range = this.rangeOf(spec);
          return range && { priceRange: { minValue: range[0], maxValue: range[1] } };
        },
      },
      index,
    );
    series.priceScale().applyOptions({ scaleMargins: index === 0 ? { top: 0.08, bottom: 0.06 } : { top: 0.06, bottom: 0.04 } });
    for (const painter of spec.painters) series.attachPrimitive(painter);
    this.series.push(series);
  }

  /** Range of the visible rows, found here: the library knows one point per series only. */
  private rangeOf(spec: PaneSpec): [number, number] | null {
    if (typeof spec.range !== 'function') return spec.range;
    const visible = this.chart.timeScale().getVisibleLogicalRange();
    const { columns } = this.scene();
    if (!visible || columns.length === 0) return null;
    const from = Math.max(0, Math.floor(visible.from));
    const to = Math.min(columns.length - 1, Math.ceil(visible.to));
    const range = spec.range(columns, from, to);
    return spec === this.specs[0] && to === columns.length - 1 ? this.withLines(range) : range;
  }

  /** Entry, stop and target belong in the picture, unless they lie so far off that the candles would be flat. */
  private withLines(range: [number, number] | null): [number, number] | null {
    if (!range) return null;
    const room = (range[1] - range[0]) * LINE_ROOM;
    let [low, high] = range;
    for (const line of this.lines.values()) {
      const { price } = line.options();
      if (price < low && price > range[0] - room) low = price;
      if (price > high && price < range[1] + room) high = price;
    }
    return [low, high];
  }

  /** Other columns are shown from now on: nothing that the library holds counts. */
  forget(): void {
    this.origin = NaN;
  }

  /** Bring the library up to date with the columns: all rows anew if any moved, else those that are new. */
  sync(): void {
    const { columns } = this.scene();
    const last = columns.length - 1 + columns.origin;
    if (columns.length === 0 || columns.origin !== this.origin || !(last >= this.anchor)) this.load(columns, last);
    else this.advance(columns, last);
  }

  private load(columns: Columns, last: number): void {
    const rows = new Array<{ time: number; value?: number }>(columns.length);
    for (let row = 0; row < columns.length; row += 1) rows[row] = { time: row + columns.origin };
    const close = columns.at('c', columns.length - 1);
    if (rows.length) rows[rows.length - 1]!.value = close;
    const wasEmpty = Number.isNaN(this.origin);
    const shown = this.chart.timeScale().getVisibleLogicalRange();
    const shift = this.origin - columns.origin;
    this.origin = columns.length ? columns.origin : NaN;
    this.anchor = last;
    this.closeValue = close;
    this.scale.forget();
    this.series.forEach((series, index) => series.setData(index === 0 ? rows : rows.slice(-1).map(({ time }) => ({ time, value: 0 }))));
    if (!columns.length) return;
    if (wasEmpty) this.follow();
    else if (shown) this.chart.timeScale().setVisibleLogicalRange({ from: shown.from + shift, to: shown.to + shift });
  }

  /** The old point becomes white space first, so that each series keeps one real point however long it runs. */
  private advance(columns: Columns, last: number): void {
    const price = this.series[0]!;
    const close = columns.at('c', columns.length - 1);
    if (last > this.anchor) {
      for (const series of this.series) series.update({ time: this.anchor });
      for (let key = this.anchor + 1; key < last; key += 1) price.update({ time: key });
      price.update({ time: last, value: close });
      for (const series of this.series.slice(1)) series.update({ time: last, value: 0 });
      this.anchor = last;
    } else if (close !== this.closeValue) price.update({ time: last, value: close });
    else this.specs[0]?.painters[0]?.repaint();
    this.closeValue = close;
  }

  follow(): void {
    const to = this.scene().columns.length;
    const span = this.span() ?? HOME_ROWS;
    this.show(to - span, to + FREE_ROWS);
  }

  get isFollowing(): boolean {
    return this.chart.timeScale().scrollPosition() > -1;
  }

  show(from: number, to: number): void {
    this.chart.timeScale().setVisibleLogicalRange({ from, to });
  }

  /** Put a row in the middle. */
  reveal(row: number): void {
    const span = this.span() ?? HOME_ROWS;
    this.show(row - span / 2, row + span / 2);
  }

  fit(): void {
    this.show(0, this.scene().columns.length + 2);
  }

  zoom(factor: number): void {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (!range) return;
    const span = (range.to - range.from) * factor;
    if (this.isFollowing) this.show(range.to - span, range.to);
    else this.show((range.from + range.to - span) / 2, (range.from + range.to + span) / 2);
  }

  pan(rows: number): void {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    if (range) this.show(range.from + rows, range.to + rows);
  }

  resetAxes(): void {
    for (const series of this.series) series.priceScale().applyOptions({ autoScale: true });
    const to = this.scene().columns.length;
    this.show(to - HOME_ROWS, to + FREE_ROWS);
  }

  private span(): number | null {
    const range = this.chart.timeScale().getVisibleLogicalRange();
    const span = range ? range.to - range.from : 0;
    return span > 10 ? span : null;
  }

  /** Entry, stop, target and working orders: the same id keeps its line. */
  setLines(lines: LevelLine[]): void {
    const wanted = new Set(lines.map((line) => line.id));
    for (const [id, line] of this.lines) {
      if (wanted.has(id)) continue;
      this.series[0]!.removePriceLine(line);
      this.lines.delete(id);
    }
    for (const { id, price, title, colour, dashed } of lines) {
      const options = {
        price, title, color: colour, lineWidth: 1 as const, axisLabelVisible: true,
        lineStyle: dashed ? LineStyle.Dashed : LineStyle.Solid,
      };
      const line = this.lines.get(id);
      if (!line) this.lines.set(id, this.series[0]!.createPriceLine(options));
      else if (hasChanged(line, options)) line.applyOptions(options);
    }
  }

  onPointer(listener: (pointer: Pointer) => void): void {
    const read = (event: MouseEventParams<number>): Pointer => ({
      row: event.logical === undefined ? null : Math.min(Math.max(0, Math.round(event.logical)), this.scene().columns.length - 1),
      object: typeof event.hoveredObjectId === 'string' ? event.hoveredObjectId : null,
      point: event.sourceEvent ? { x: event.sourceEvent.clientX, y: event.sourceEvent.clientY } : null,
    });
    this.chart.subscribeCrosshairMove((event) => listener(read(event)));
  }

  onClick(listener: (object: string | null) => void): void {
    this.chart.subscribeClick((event) => listener(typeof event.hoveredObjectId === 'string' ? event.hoveredObjectId : null));
  }

  onRange(listener: (from: number) => void): void {
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => range && listener(range.from));
  }

  /** Top of each pane in the container, CSS pixels. */
  paneTops(): number[] {
    let top = 0;
    return this.chart.panes().map((pane) => {
      const mine = top;
      top += pane.getHeight() + 1;
      return mine;
    });
  }

  paneHeights(): Record<string, number> {
    return Object.fromEntries(this.chart.panes().map((pane, index) => [this.specs[index]!.name, pane.getHeight()]));
  }

  paintTheme(): void {
    const palette: Palette = this.scene().palette;
    this.chart.applyOptions({
      layout: {
        background: { color: palette.background }, textColor: palette.muted, fontSize: 11,
        fontFamily: getComputedStyle(document.body).fontFamily,
        panes: { separatorColor: palette.grid, separatorHoverColor: alpha(palette.accent, 0.25) },
      },
      grid: { vertLines: { color: alpha(palette.grid, 0.55) }, horzLines: { color: alpha(palette.grid, 0.55) } },
      rightPriceScale: { borderColor: palette.grid, minimumWidth: 72, entireTextOnly: true },
      timeScale: { borderColor: palette.grid },
      crosshair: {
        vertLine: { color: alpha(palette.muted, 0.7), labelBackgroundColor: palette.accent },
        horzLine: { color: alpha(palette.muted, 0.7), labelBackgroundColor: palette.accent },
      },
    });
    this.series[0]?.applyOptions({ color: palette.accent });
  }

  remove(): void {
    this.chart.remove();
  }
}
