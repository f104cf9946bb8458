/** What adds up to a confluence score: name and meaning of each factor (docs/confluence.md). */
import { words } from './format.ts';

interface Factor {
  name: string;
  /** When it holds; said once for both sides. */
  meaning: string;
}

const FACTORS: Record<string, Factor> = {
  htf: { name: 'Higher timeframe', meaning: 'its bias is on this side: close, EMA 20 and EMA 50 in order; in neither order it gives a part' },
  sweep: { name: 'Sweep', meaning: 'a swing was swept a few klines ago at the most, and the price closed back' },
  order_block: { name: 'Order block', meaning: 'the close lies in an order block or breaker that is still good' },
  fvg: { name: 'Fair value gap', meaning: 'the close lies in a gap whose middle was not reached yet' },
  rsi: { name: 'RSI', meaning: 'of the middle timeframe: oversold for a long, overbought for a short' },
  structure: { name: 'Structure', meaning: 'the last break of structure went this way' },
};

export const factorName = (factor: string): string => FACTORS[factor]?.name ?? words(factor);
export const factorMeaning = (factor: string): string => FACTORS[factor]?.meaning ?? '';

export interface FactorLine {
  factor: string;
  points: number;
  /** The most that it can add; NaN where that is not told. */
  most: number;
}

/** All factors of a score, those that hold first, in the order of their weight. */
export function factorLines(points: Record<string, number>, most: Record<string, number> = {}): FactorLine[] {
  const known = [...new Set([...Object.keys(most), ...Object.keys(points)])];
  // A strategy of one's own has factors that the node tells no weights of.
  const told = known.filter((factor) => factor in most || points[factor]);
  return told
    .map((factor) => ({ factor, points: points[factor] ?? 0, most: most[factor] ?? NaN }))
    .sort((a, b) => Number(b.points !== 0) - Number(a.points !== 0) || Math.abs(b.points) - Math.abs(a.points) || b.most - a.most);
}

/** Those that hold, in a line. */
export function factorText(points: Record<string, number>): string {
  return factorLines(points).map(({ factor, points: one }) => `${factorName(factor)} ${one > 0 ? '+' : '−'}${Math.abs(one)}`).join(', ');
}
