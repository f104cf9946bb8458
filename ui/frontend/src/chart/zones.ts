/** Zones with their life: boxes for areas, lines for levels, labels where there is room. */
import type { Zone, ZoneState, ZoneType } from '../net/protocol.ts';
import type { ZoneToggle } from '../store/settings.ts';
import { Painter, type View } from './painter.ts';
import { alpha, type Palette } from './palette.ts';

/** A zone and the rows it spans; an open end is the right edge. */
export interface ZoneBox {
  zone: Zone;
  from: number;
  to: number;
}

/** What is written beside a zone, device pixels. */
export interface ZoneLabel {
  text: string;
  x: number;
  y: number;
  colour: string;
}

interface Look {
  fill: number;
  line: number;
  dash: boolean;
}

const LOOKS: Record<ZoneState, Look> = {
  new: { fill: 0.07, line: 0.7, dash: true },
  active: { fill: 0.12, line: 0.75, dash: false },
  touched: { fill: 0.2, line: 1, dash: false },
  filled: { fill: 0.06, line: 0.4, dash: false },
  mitigated: { fill: 0.04, line: 0.25, dash: true },
  expired: { fill: 0.03, line: 0.2, dash: true },
};
/** Gaps and blocks are many and lie over each other: what is traded must stand out. */
const WEIGHTS: Partial<Record<ZoneType, number>> = { ob: 0.7, fvg: 0.4, range: 0.33, ote: 1.3 };
const LABELS: Record<ZoneType, string> = {
  ote: 'OTE', ob: 'OB', fvg: 'FVG', liquidity: 'LIQ', range: 'RANGE', bos: 'BOS', choch: 'CHoCH',
};
const LABEL_WIDTH = 46;
const LABEL_HEIGHT = 11;
/** Room of a label, CSS pixels. */
const LABEL_SPAN = 34;
const LABEL_RISE = 11;
const LEVELS = new Set<ZoneType>(['liquidity', 'bos', 'choch']);
const HIT_PIXELS = 4;

export const toggleOf = (type: ZoneType): ZoneToggle => (type === 'bos' || type === 'choch' ? 'structure' : type);
const hasEnded = (zone: Zone): boolean => zone.state === 'filled' || zone.state === 'mitigated' || zone.state === 'expired';

export class ZonePainter extends Painter {
  boxes: ZoneBox[] = [];
  selected: string | null = null;
  private labels: ZoneLabel[] = [];
  private readonly font = getComputedStyle(document.body).fontFamily;

  protected paint(view: View): void {
    const { palette } = this.scene();
    view.context.font = `${10 * view.ratio}px ${this.font}`;
    view.context.textBaseline = 'top';
    this.labels = [];
    for (const box of this.boxes) {
      const left = view.x(box.from);
      const right = Math.min(view.x(box.to), view.width);
      if (right < 0 || left > view.width) continue;
      if (LEVELS.has(box.zone.type)) this.level(view, box.zone, left, right, palette);
      else this.area(view, box.zone, left, right, palette);
    }
    view.context.setLineDash([]);
    for (const { text, x, y, colour } of apart(this.labels, view.ratio)) {
      view.context.fillStyle = colour;
      view.context.fillText(text, x, y);
    }
  }

  private area(view: View, zone: Zone, left: number, right: number, palette: Palette): void {
    const { context, ratio } = view;
    const colour = colourOf(zone, palette);
    const look = LOOKS[zone.state];
    const weight = WEIGHTS[zone.type] ?? 1;
    const top = Math.round(view.y(zone.top));
    const height = Math.max(1, Math.round(view.y(zone.bot)) - top);
    if (top > view.height || top + height < 0) return;
    const [x0, width] = [Math.round(Math.max(left, -2)), Math.round(right - Math.max(left, -2))];
    context.fillStyle = alpha(colour, look.fill * weight);
    context.fillRect(x0, top, width, height);
    context.strokeStyle = alpha(colour, zone.id === this.selected ? 1 : Math.min(1, look.line * Math.max(weight, 0.5)));
    context.lineWidth = (zone.id === this.selected ? 2 : 1) * Math.max(1, Math.floor(ratio));
    context.setLineDash(look.dash ? [4 * ratio, 3 * ratio] : []);
    if (zone.type === 'range') this.rangeLines(view, zone, x0, x0 + width);
    else context.strokeRect(x0 + 0.5, top + 0.5, width - 1, height - 1);
    if (zone.sweet !== null && !hasEnded(zone)) this.line(view, zone.sweet, x0, x0 + width, [2 * ratio, 2 * ratio]);
    if (width > LABEL_WIDTH * ratio && height > LABEL_HEIGHT * ratio && !hasEnded(zone)) {
      this.labels.push({ text: LABELS[zone.type], x: Math.max(x0, 0) + 4 * ratio, y: top + 2 * ratio, colour: alpha(colour, 0.95) });
    }
  }

  /** Dealing range: its ends and the middle, which parts premium from discount. */
  private rangeLines(view: View, zone: Zone, x0: number, x1: number): void {
    this.line(view, zone.top, x0, x1, []);
    this.line(view, zone.bot, x0, x1, []);
    this.line(view, (zone.top + zone.bot) / 2, x0, x1, [1 * view.ratio, 4 * view.ratio]);
  }

  private level(view: View, zone: Zone, left: number, right: number, palette: Palette): void {
    const { context, ratio } = view;
    const colour = colourOf(zone, palette);
    const look = LOOKS[zone.state];
    const price = zone.side > 0 ? zone.top : zone.bot;
    context.strokeStyle = alpha(colour, Math.min(1, look.line));
    context.lineWidth = (zone.id === this.selected ? 2 : 1) * Math.max(1, Math.floor(ratio));
    this.line(view, price, left, right, zone.type === 'liquidity' ? [1.5 * ratio, 3 * ratio] : [5 * ratio, 3 * ratio]);
    if (right - left < LABEL_WIDTH * ratio || (zone.type === 'liquidity' && hasEnded(zone))) return;
    const middle = (Math.max(left, 0) + right) / 2 - 10 * ratio;
    this.labels.push({ text: LABELS[zone.type], x: middle, y: view.y(price) + (zone.side > 0 ? -12 : 3) * ratio, colour: alpha(colour, 0.9) });
  }

  private line(view: View, price: number, x0: number, x1: number, dash: number[]): void {
    const { context } = view;
    const y = Math.round(view.y(price)) + 0.5;
    context.setLineDash(dash);
    context.beginPath();
    context.moveTo(x0, y);
    context.lineTo(x1, y);
    context.stroke();
  }

  /** The smallest zone under the point: a large one would hide those inside it. */
  protected override hit(view: Omit<View, 'context'>, px: number, py: number): string | null {
    let best: string | null = null;
    let size = Infinity;
    for (const { zone, from, to } of this.boxes) {
      if (px < view.x(from) || px > view.x(to)) continue;
      const [top, bottom] = [view.y(zone.top) - HIT_PIXELS, view.y(zone.bot) + HIT_PIXELS];
      if (py < top || py > bottom || bottom - top >= size) continue;
      best = `zone:${zone.id}`;
      size = bottom - top;
    }
    return best;
  }
}

/** Labels that lie on no other; the last ones are of what counts most, and come first. */
export function apart(labels: ZoneLabel[], ratio: number): ZoneLabel[] {
  const placed: ZoneLabel[] = [];
  for (const label of [...labels].reverse()) {
    const isFree = placed.every((one) => Math.abs(one.x - label.x) >= LABEL_SPAN * ratio || Math.abs(one.y - label.y) >= LABEL_RISE * ratio);
    if (isFree) placed.push(label);
  }
  return placed;
}

function colourOf(zone: Zone, palette: Palette): string {
  if (zone.type === 'bos' || zone.type === 'choch') return palette.structure;
  if (zone.type === 'ob') return zone.side > 0 ? palette.up : palette.down;
  return palette[zone.type];
}
