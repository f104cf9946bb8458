/** Panes below the price: signed imbalance, VPIN, model probability, scores, volume. */
import type { Columns } from '../store/columns.ts';
import { alpha } from './palette.ts';
import { Painter, type Scene, type View } from './painter.ts';

const WIDE_STEP = 3;

/** A horizontal dashed line over the whole pane. */
function dashed(view: View, price: number, colour: string): void {
  const { context, ratio } = view;
  const y = Math.round(view.y(price)) + 0.5;
  context.strokeStyle = colour;
  context.lineWidth = Math.max(1, Math.floor(ratio));
  context.setLineDash([4 * ratio, 3 * ratio]);
  context.beginPath();
  context.moveTo(0, y);
  context.lineTo(view.width, y);
  context.stroke();
  context.setLineDash([]);
}

/** A line over the rows that have a value; of rows that share a pixel only the extremes are drawn. */
function polyline(view: View, values: Float64Array, colour: string): void {
  const { context, from, to, x, y, ratio, lastAt } = view;
  context.strokeStyle = colour;
  context.lineWidth = 1.4 * ratio;
  context.lineJoin = 'round';
  context.beginPath();
  let drawing = false;
  let row = Math.max(0, from - 1);
  while (row <= to) {
    const pixel = Math.round(x(row));
    let low = Infinity;
    let high = -Infinity;
    for (const last = lastAt(pixel, row); row <= last; row += 1) {
      const value = values[row]!;
      if (value < low) low = value;
      if (value > high) high = value;
    }
    if (high === -Infinity) {
      drawing = false;
      continue;
    }
    if (drawing) context.lineTo(pixel, y(low));
    else context.moveTo(pixel, y(low));
    if (high > low) context.lineTo(pixel, y(high));
    drawing = true;
  }
  context.stroke();
}

/** Bars from zero, in one colour above and another below. */
export class HistogramPainter extends Painter {
  private readonly field: string;

  constructor(scene: () => Scene, field: string) {
    super(scene);
    this.field = field;
  }

  protected paint(view: View): void {
    const { palette, columns } = this.scene();
    const values = columns.column(this.field);
    this.half(view, values, 1, palette.up);
    this.half(view, values, -1, palette.down);
    dashed(view, 0, alpha(palette.muted, 0.5));
  }

  private half(view: View, values: Float64Array, sign: number, colour: string): void {
    const { context, from, to, x, y, ratio, step, lastAt } = view;
    const width = Math.max(ratio, Math.floor(step * 0.72));
    const zero = Math.round(y(0));
    context.fillStyle = step > WIDE_STEP * ratio ? alpha(colour, 0.8) : alpha(colour, 0.55);
    context.beginPath();
    let row = from;
    while (row <= to) {
      const pixel = Math.round(x(row));
      let extreme = 0;
      for (const last = lastAt(pixel, row); row <= last; row += 1) {
        const value = values[row]! * sign;
        if (value > extreme) extreme = value;
      }
      if (extreme > 0) context.rect(Math.round(pixel - width / 2), zero, width, Math.round(y(extreme * sign)) - zero);
    }
    context.fill();
  }
}

/** VPIN as an area, with the level that a tenth of the buckets passes. */
export class VpinPainter extends Painter {
  level = NaN;

  protected paint(view: View): void {
    const { palette, columns } = this.scene();
    const values = columns.column('vpin');
    this.area(view, values, palette.accent);
    polyline(view, values, palette.accent);
    if (!Number.isNaN(this.level)) dashed(view, this.level, palette.warn);
  }

  private area(view: View, values: Float64Array, colour: string): void {
    const { context, from, to, x, y, step } = view;
    const stride = Math.max(1, Math.floor(1 / step));
    const base = y(0);
    context.fillStyle = alpha(colour, 0.12);
    context.beginPath();
    let left = NaN;
    let right = NaN;
    for (let row = from; row <= to; row += stride) {
      const value = values[row]!;
      if (Number.isNaN(value)) continue;
      right = x(row);
      if (Number.isNaN(left)) {
        left = right;
        context.moveTo(left, base);
      }
      context.lineTo(right, y(value));
    }
    context.lineTo(right, base);
    if (!Number.isNaN(left)) context.fill();
  }
}

/** A model answer as a dot in its pane. */
export interface ModelDot {
  row: number;
  p: number;
  /** Of this decision: each entry breaks even at another one. */
  threshold: number;
  keep: boolean;
  id: string;
}

const DOT_RADIUS = 3.5;
const TICK_HALF = 7;
const HIT_RADIUS = 7;

/** Probability of the model per bucket, its threshold, and each decision: a disc kept, a cross cancelled. */
export class ModelPainter extends Painter {
  threshold = NaN;
  dots: ModelDot[] = [];

  protected paint(view: View): void {
    const { palette, columns } = this.scene();
    // Klines have none of their own: a model is asked about signals alone.
    if (columns.fields.includes('p')) polyline(view, columns.column('p'), palette.model);
    if (!Number.isNaN(this.threshold)) dashed(view, this.threshold, palette.warn);
    for (const dot of this.dots) {
      if (dot.row < view.from || dot.row > view.to) continue;
      this.tick(view, dot, palette.warn);
      this.dot(view, dot, dot.keep ? palette.up : palette.down);
    }
  }

  private tick({ context, ratio, x, y }: View, dot: ModelDot, colour: string): void {
    context.fillStyle = colour;
    context.fillRect(x(dot.row) - TICK_HALF * ratio, Math.round(y(dot.threshold)) - ratio / 2, 2 * TICK_HALF * ratio, 1.5 * ratio);
  }

  private dot({ context, ratio, x, y }: View, dot: ModelDot, colour: string): void {
    const [cx, cy, radius] = [x(dot.row), y(dot.p), DOT_RADIUS * ratio];
    context.beginPath();
    if (dot.keep) {
      context.fillStyle = colour;
      context.arc(cx, cy, radius, 0, 2 * Math.PI);
      context.fill();
      return;
    }
    context.strokeStyle = colour;
    context.lineWidth = 1.8 * ratio;
    context.moveTo(cx - radius, cy - radius);
    context.lineTo(cx + radius, cy + radius);
    context.moveTo(cx + radius, cy - radius);
    context.lineTo(cx - radius, cy + radius);
    context.stroke();
  }

  protected override hit(view: Omit<View, 'context'>, px: number, py: number): string | null {
    for (let index = this.dots.length - 1; index >= 0; index -= 1) {
      const dot = this.dots[index]!;
      if (Math.hypot(view.x(dot.row) - px, view.y(dot.p) - py) < HIT_RADIUS) return dot.id;
    }
    return null;
  }
}

/** Scores for long and short of the confluence strategy, and the score that a signal needs. */
export class ScorePainter extends Painter {
  least = NaN;

  protected paint(view: View): void {
    const { palette, columns } = this.scene();
    if (!Number.isNaN(this.least)) dashed(view, this.least, palette.warn);
    polyline(view, columns.column('score_long'), palette.up);
    polyline(view, columns.column('score_short'), palette.down);
  }
}

/** The value that `share` of a column's numbers do not pass; sampled, a level needs no more. */
export function quantile(columns: Columns, field: string, share: number): number {
  const values = columns.column(field);
  const stride = Math.max(1, Math.floor(columns.length / 2000));
  const sample: number[] = [];
  for (let row = 0; row < columns.length; row += stride) if (!Number.isNaN(values[row]!)) sample.push(values[row]!);
  sample.sort((a, b) => a - b);
  return sample.length ? sample[Math.min(sample.length - 1, Math.floor(share * sample.length))]! : NaN;
}
