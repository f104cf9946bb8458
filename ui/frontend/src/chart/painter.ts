/** What all painters share: they draw from columns in bitmap pixels, with one map from rows and prices to pixels. */
import type {
  IPrimitivePaneRenderer, IPrimitivePaneView, ISeriesPrimitiveBase, PrimitiveHoveredItem, PrimitivePaneViewZOrder,
  SeriesAttachedParameter,
} from 'lightweight-charts';
import type { Columns } from '../store/columns.ts';
import type { Palette } from './palette.ts';

/** The rows on the chart, buckets or bars. */
export interface Scene {
  columns: Columns;
  palette: Palette;
}

/** Maps of one draw, in bitmap pixels, and the rows that can be seen. */
export interface View {
  context: CanvasRenderingContext2D;
  width: number;
  height: number;
  ratio: number;
  /** Pixels between rows. */
  step: number;
  from: number;
  to: number;
  x(row: number): number;
  y(price: number): number;
  /** Last visible row that rounds to a pixel; at least `row`, which is known to. */
  lastAt(pixel: number, row: number): number;
}

type Attached = SeriesAttachedParameter<number>;

export abstract class Painter implements ISeriesPrimitiveBase<Attached> {
  protected readonly scene: () => Scene;
  private attachment: Attached | null = null;
  private readonly views: IPrimitivePaneView[];

  constructor(scene: () => Scene, order: PrimitivePaneViewZOrder = 'normal') {
    this.scene = scene;
    const renderer: IPrimitivePaneRenderer = {
      draw: (target) =>
        target.useBitmapCoordinateSpace(({ context, bitmapSize, horizontalPixelRatio, verticalPixelRatio }) => {
          const view = this.view(bitmapSize.width, bitmapSize.height, horizontalPixelRatio, verticalPixelRatio);
          if (view) this.paint({ ...view, context });
        }),
    };
    this.views = [{ renderer: () => renderer, zOrder: () => order }];
  }

  attached(attachment: Attached): void {
    this.attachment = attachment;
  }

  detached(): void {
    this.attachment = null;
  }

  paneViews(): readonly IPrimitivePaneView[] {
    return this.views;
  }

  /** Ask for a repaint after something outside the series changed. */
  repaint(): void {
    this.attachment?.requestUpdate();
  }

  hitTest(x: number, y: number): PrimitiveHoveredItem | null {
    const view = this.view(0, 0, 1, 1);
    const id = view && this.hit(view, x, y);
    return id ? { externalId: id, zOrder: 'normal', cursorStyle: 'pointer' } : null;
  }

  /** Draw within the view. */
  protected abstract paint(view: View): void;

  /** Id of what lies under a point of the pane, if anything does. */
  protected hit(_view: Omit<View, 'context'>, _x: number, _y: number): string | null {
    return null;
  }

  private view(width: number, height: number, ratioX: number, ratioY: number): Omit<View, 'context'> | null {
    const { attachment } = this;
    const count = this.scene().columns.length;
    if (!attachment || count === 0) return null;
    const scale = attachment.chart.timeScale();
    const range = scale.getVisibleLogicalRange();
    const x0 = scale.logicalToCoordinate(0 as never);
    const x1 = scale.logicalToCoordinate(1 as never);
    const high = attachment.series.coordinateToPrice(0);
    const low = attachment.series.coordinateToPrice(100);
    if (!range || x0 === null || x1 === null || high === null || low === null || high === low) return null;
    const step = (x1 - x0) * ratioX;
    const left = x0 * ratioX;
    const slope = (100 / (Number(low) - Number(high))) * ratioY;
    const to = Math.min(count - 1, Math.ceil(range.to));
    return {
      width, height, step, to,
      ratio: ratioX,
      from: Math.max(0, Math.floor(range.from)),
      x: (row) => left + row * step,
      y: (price) => (price - Number(high)) * slope,
      lastAt: (pixel, row) => Math.max(row, Math.min(to, Math.ceil((pixel + 0.5 - left) / step) - 1)),
    };
  }
}
