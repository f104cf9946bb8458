/** The panes of the two views: volume buckets with order flow and model, klines with confluence scores. */
import type { Columns } from '../store/columns.ts';
import type { PaneName, Settings } from '../store/settings.ts';
import { CandlePainter } from './candles.ts';
import type { PaneSpec } from './host.ts';
import { MarkPainter } from './markers.ts';
import { HistogramPainter, ModelPainter, ScorePainter, VpinPainter } from './oscillators.ts';
import type { Scene } from './painter.ts';
import { ZonePainter } from './zones.ts';

/** The painters that are told what to draw. */
export interface Painters {
  candles: CandlePainter;
  zones: ZonePainter;
  marks: MarkPainter;
  model: ModelPainter;
  vpin: VpinPainter;
  score: ScorePainter;
}

export interface ViewPanes {
  specs: PaneSpec[];
  painters: Painters;
}

/** Titles as the legend shows them. */
export const PANE_TITLES: Record<PaneName, string> = {
  imbalance: 'Imbalance', vpin: 'VPIN', model: 'Model p', score: 'Confluence', volume: 'Volume',
};
export const PANES_OF: Record<Settings['view'], PaneName[]> = {
  buckets: ['imbalance', 'vpin', 'model'],
  bars: ['score', 'volume', 'model'],
};
const PRICE_STRETCH = 560;
const PANE_STRETCH = 120;

export function makePanes(scene: () => Scene, settings: Settings, hasModel = true): ViewPanes {
  const painters: Painters = {
    candles: new CandlePainter(scene),
    zones: new ZonePainter(scene, 'bottom'),
    marks: new MarkPainter(scene, 'top'),
    model: new ModelPainter(scene),
    vpin: new VpinPainter(scene),
    score: new ScorePainter(scene),
  };
  const { paneHeights } = settings;
  const specs: PaneSpec[] = [{
    name: 'price', range: priceRange, places: 2, stretch: paneHeights.price ?? PRICE_STRETCH,
    painters: [painters.candles, painters.zones, painters.marks],
  }];
  const lower: Record<PaneName, Pick<PaneSpec, 'range' | 'places' | 'painters'>> = {
    imbalance: { range: [-1, 1], places: 2, painters: [new HistogramPainter(scene, 'imb')] },
    vpin: { range: vpinRange, places: 2, painters: [painters.vpin] },
    model: { range: [0, 1], places: 2, painters: [painters.model] },
    score: { range: [0, 100], places: 0, painters: [painters.score] },
    volume: { range: volumeRange, places: 0, painters: [new HistogramPainter(scene, 'v')] },
  };
  for (const name of PANES_OF[settings.view]) {
    if (settings.panes[name] && (name !== 'model' || hasModel)) specs.push({ name, stretch: paneHeights[name] ?? PANE_STRETCH, ...lower[name] });
  }
  return { specs, painters };
}

function priceRange(columns: Columns, from: number, to: number): [number, number] | null {
  const [low, high] = [columns.column('l'), columns.column('h')];
  let bottom = Infinity;
  let top = -Infinity;
  for (let row = from; row <= to; row += 1) {
    if (low[row]! < bottom) bottom = low[row]!;
    if (high[row]! > top) top = high[row]!;
  }
  return top > bottom ? [bottom, top] : top === bottom ? [bottom * 0.999, top * 1.001] : null;
}

function vpinRange(columns: Columns, from: number, to: number): [number, number] {
  return [0, Math.min(1, Math.max(0.2, largest(columns.column('vpin'), from, to) * 1.15))];
}

function volumeRange(columns: Columns, from: number, to: number): [number, number] {
  return [0, largest(columns.column('v'), from, to) || 1];
}

function largest(values: Float64Array, from: number, to: number): number {
  let top = 0;
  for (let row = from; row <= to; row += 1) if (values[row]! > top) top = values[row]!;
  return top;
}
