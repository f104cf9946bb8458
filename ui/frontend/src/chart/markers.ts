/** Marks of what was done: entries, cancels, fills, exits, and signals that were skipped. */
import { Painter, type View } from './painter.ts';
import type { Palette } from './palette.ts';

export type MarkShape = 'up' | 'down' | 'disc' | 'square' | 'cross' | 'ring';

export interface Mark {
  id: string;
  row: number;
  price: number;
  shape: MarkShape;
  tone: 'up' | 'down' | 'accent' | 'muted' | 'warn';
}

const SIZE = 5;
const HIT_PIXELS = 8;

export class MarkPainter extends Painter {
  /** In order of rows. */
  marks: Mark[] = [];

  protected paint(view: View): void {
    const { palette } = this.scene();
    for (let index = this.firstOf(view.from); index < this.marks.length; index += 1) {
      const mark = this.marks[index]!;
      if (mark.row > view.to) break;
      draw(view, mark, palette);
    }
  }

  protected override hit(view: Omit<View, 'context'>, px: number, py: number): string | null {
    let best: string | null = null;
    let nearest = HIT_PIXELS;
    for (let index = this.firstOf(view.from); index < this.marks.length; index += 1) {
      const mark = this.marks[index]!;
      if (mark.row > view.to) break;
      const distance = Math.hypot(view.x(mark.row) - px, view.y(mark.price) - py);
      if (distance < nearest) {
        nearest = distance;
        best = mark.id;
      }
    }
    return best;
  }

  private firstOf(row: number): number {
    let low = 0;
    let high = this.marks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.marks[middle]!.row < row) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

function draw({ context, ratio, x, y }: View, mark: Mark, palette: Palette): void {
  const size = SIZE * ratio;
  const [cx, cy] = [x(mark.row), y(mark.price)];
  context.beginPath();
  trace(context, mark.shape, cx, cy, size);
  if (mark.shape === 'cross' || mark.shape === 'ring') {
    context.strokeStyle = palette.background;
    context.lineWidth = 4 * ratio;
    context.stroke();
    context.strokeStyle = palette[mark.tone];
    context.lineWidth = 2 * ratio;
    context.stroke();
    return;
  }
  context.fillStyle = palette[mark.tone];
  context.fill();
  context.strokeStyle = palette.background;
  context.lineWidth = ratio;
  context.stroke();
}

function trace(context: CanvasRenderingContext2D, shape: MarkShape, cx: number, cy: number, size: number): void {
  switch (shape) {
    case 'up':
    case 'down': {
      const tip = shape === 'up' ? -size : size;
      context.moveTo(cx, cy + tip);
      context.lineTo(cx + size, cy - tip * 0.7);
      context.lineTo(cx - size, cy - tip * 0.7);
      context.closePath();
      return;
    }
    case 'square':
      context.rect(cx - size * 0.8, cy - size * 0.8, size * 1.6, size * 1.6);
      return;
    case 'cross':
      context.moveTo(cx - size * 0.8, cy - size * 0.8);
      context.lineTo(cx + size * 0.8, cy + size * 0.8);
      context.moveTo(cx + size * 0.8, cy - size * 0.8);
      context.lineTo(cx - size * 0.8, cy + size * 0.8);
      return;
    default:
      context.arc(cx, cy, size * (shape === 'ring' ? 0.7 : 0.85), 0, 2 * Math.PI);
  }
}
