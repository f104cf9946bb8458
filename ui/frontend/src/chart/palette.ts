/** Colours of the canvas, read from the style sheet so that themes live in one place. */

export interface Palette {
  background: string;
  grid: string;
  text: string;
  muted: string;
  up: string;
  down: string;
  accent: string;
  warn: string;
  model: string;
  ote: string;
  ob: string;
  fvg: string;
  liquidity: string;
  range: string;
  structure: string;
  /** Candles by imbalance: from all sells over none to all buys. */
  ramp: string[];
}

const NAMES = [
  'background', 'grid', 'text', 'muted', 'up', 'down', 'accent', 'warn', 'model', 'ote', 'ob', 'fvg', 'liquidity',
  'range', 'structure',
] as const;
const HALF = 8;
export const RAMP_STEPS = 2 * HALF + 1;

type Rgb = [number, number, number];

export function readPalette(root: Element = document.documentElement): Palette {
  const style = getComputedStyle(root);
  const read = (name: string): string => style.getPropertyValue(`--chart-${name}`).trim();
  const colours = Object.fromEntries(NAMES.map((name) => [name, read(name)])) as unknown as Palette;
  colours.ramp = ramp(colours.down, read('neutral'), colours.up);
  return colours;
}

/** Shades between two colours over a neutral one; small imbalances leave the neutral one soon. */
export function ramp(low: string, middle: string, high: string): string[] {
  const shades: string[] = [];
  for (let step = -HALF; step <= HALF; step += 1) {
    const weight = Math.sqrt(Math.abs(step) / HALF);
    shades.push(mix(middle, step < 0 ? low : high, weight));
  }
  return shades;
}

/** Place of an imbalance (-1 to 1) in the ramp; missing ones are neutral. */
export function shadeOf(imbalance: number): number {
  if (!(imbalance >= -1)) return HALF;
  return Math.round((Math.min(imbalance, 1) + 1) * HALF);
}

/** `#rrggbb` with an opacity. */
export function alpha(colour: string, opacity: number): string {
  const [red, green, blue] = rgb(colour);
  return `rgba(${red},${green},${blue},${opacity})`;
}

function mix(from: string, to: string, weight: number): string {
  const [a, b] = [rgb(from), rgb(to)];
  const parts = a.map((value, index) => Math.round(value + (b[index]! - value) * weight));
  return `rgb(${parts.join(',')})`;
}

function rgb(colour: string): Rgb {
  const value = parseInt(colour.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}
