/** Candles: coloured by imbalance or by direction, hollow when they rose, a column of pixels each when far away. */
import { Painter, type View } from './painter.ts';
import { RAMP_STEPS, shadeOf } from './palette.ts';

/** Below this many pixels a row has no body any more. */
const CANDLE_STEP = 1.5;
const HOLLOW_BODY = 5;

export class CandlePainter extends Painter {
  colouring: 'imbalance' | 'direction' = 'imbalance';

  protected paint(view: View): void {
    if (view.step < CANDLE_STEP * view.ratio) this.paintColumns(view);
    else this.paintCandles(view);
  }

  /** Rows of a shade are drawn together: changing the fill is what costs. */
  private paintCandles(view: View): void {
    const { context, from, to, x, y } = view;
    const { columns, palette } = this.scene();
    const [open, high, low, close] = (['o', 'h', 'l', 'c'] as const).map((field) => columns.column(field));
    const shades = this.shades(from, to);
    const wick = Math.max(1, Math.floor(view.ratio));
    const body = bodyWidth(view.step, wick);
    const half = (body - wick) / 2;
    for (let shade = 0; shade < RAMP_STEPS; shade += 1) {
      context.fillStyle = palette.ramp[shade]!;
      for (let row = from; row <= to; row += 1) {
        if (shades[row - from] !== shade) continue;
        const left = Math.round(x(row) - wick / 2);
        const top = Math.round(y(high![row]!));
        context.fillRect(left, top, wick, Math.max(1, Math.round(y(low![row]!)) - top));
        const bodyTop = Math.round(y(Math.max(open![row]!, close![row]!)));
        const bodyHeight = Math.max(1, Math.round(y(Math.min(open![row]!, close![row]!))) - bodyTop);
        context.fillRect(left - half, bodyTop, body, bodyHeight);
      }
    }
    if (body >= HOLLOW_BODY * view.ratio) this.hollow(view, open!, close!, body, half, wick);
  }

  private hollow(view: View, open: Float64Array, close: Float64Array, body: number, half: number, wick: number): void {
    const { context, from, to, x, y } = view;
    context.fillStyle = this.scene().palette.background;
    for (let row = from; row <= to; row += 1) {
      if (!(close[row]! > open[row]!)) continue;
      const top = Math.round(y(close[row]!));
      const height = Math.round(y(open[row]!)) - top;
      if (height <= 2 * wick) continue;
      const left = Math.round(x(row) - wick / 2) - half;
      context.fillRect(left + wick, top + wick, body - 2 * wick, height - 2 * wick);
    }
  }

  /** Range and net imbalance of the rows that share a column of pixels. */
  private paintColumns(view: View): void {
    const { context, from, to, x, y, lastAt } = view;
    const { columns, palette } = this.scene();
    const high = columns.column('h');
    const low = columns.column('l');
    const shades = this.shades(from, to);
    let row = from;
    while (row <= to) {
      const pixel = Math.round(x(row));
      let top = -Infinity;
      let bottom = Infinity;
      let shade = 0;
      const start = row;
      for (const last = lastAt(pixel, row); row <= last; row += 1) {
        if (high[row]! > top) top = high[row]!;
        if (low[row]! < bottom) bottom = low[row]!;
        shade += shades[row - from]!;
      }
      context.fillStyle = palette.ramp[Math.round(shade / (row - start))]!;
      const y0 = Math.round(y(top));
      context.fillRect(pixel, y0, Math.max(1, Math.floor(view.ratio)), Math.max(1, Math.round(y(bottom)) - y0));
    }
  }

  private shades(from: number, to: number): Uint8Array {
    const { columns } = this.scene();
    const shades = new Uint8Array(Math.max(0, to - from + 1));
    const imbalance = this.colouring === 'imbalance' ? columns.column('imb') : undefined;
    const open = columns.column('o');
    const close = columns.column('c');
    for (let row = from; row <= to; row += 1) {
      shades[row - from] = imbalance ? shadeOf(imbalance[row]!) : close[row]! >= open[row]! ? RAMP_STEPS - 1 : 0;
    }
    return shades;
  }
}

/** Widest body of the same parity as the wick that leaves a gap. */
function bodyWidth(step: number, wick: number): number {
  const width = Math.max(wick, Math.floor(step * 0.72));
  return (width - wick) % 2 === 0 ? width : width - 1;
}
