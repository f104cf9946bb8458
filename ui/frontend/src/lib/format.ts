/** Numbers as a desk reads them: fixed places, thousands, signs that do not depend on colour. */

export const MISSING = '–';
const THIN_MINUS = '−';
const TEXT_OF_PLACES = new Map<number, Intl.NumberFormat>();

function numberFormat(places: number): Intl.NumberFormat {
  let format = TEXT_OF_PLACES.get(places);
  if (!format) {
    format = new Intl.NumberFormat('en-US', { minimumFractionDigits: places, maximumFractionDigits: places });
    TEXT_OF_PLACES.set(places, format);
  }
  return format;
}

/** Decimal places of a price increment: 0.00010 -> 4, 0.5 -> 1, 5 -> 0. */
export function placesOf(tick: number): number {
  if (!(tick > 0)) return 2;
  for (let places = 0; places <= 12; places += 1) {
    const scaled = tick * 10 ** places;
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6 * scaled) return places;
  }
  return 12;
}

export function fixed(value: number | null | undefined, places: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  return numberFormat(places).format(value).replace('-', THIN_MINUS);
}

/** Points of a score, never rounded up to a limit that they do not reach. */
export function score(value: number): string {
  return fixed(Math.trunc(value * 10) / 10, Number.isInteger(value) ? 0 : 1);
}

/** With a sign even when positive: +12.30, −4.00, 0.00. */
export function signed(value: number | null | undefined, places: number): string {
  const text = fixed(value, places);
  return value !== null && value !== undefined && value > 0 && text !== MISSING ? `+${text}` : text;
}

/** ▲ or ▼ before a signed number, so that colour is not the only sign. */
export function arrowed(value: number | null | undefined, places: number): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const arrow = value > 0 ? '▲ ' : value < 0 ? '▼ ' : '';
  return `${arrow}${signed(value, places)}`;
}

export function percent(ratio: number | null | undefined, places = 1): string {
  return ratio === null || ratio === undefined || !Number.isFinite(ratio) ? MISSING : `${fixed(ratio * 100, places)}%`;
}

/** Decimal text without trailing zeros, with thousands: "12000.500" -> "12,000.5". */
export function decimal(text: string | null | undefined): string {
  if (text === null || text === undefined || text === '') return MISSING;
  const match = /^(-?)(\d+)(?:\.(\d*?)0*)?$/.exec(text);
  if (!match) return text;
  const whole = match[2]!.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
  return `${match[1] ? THIN_MINUS : ''}${whole}${match[3] ? `.${match[3]}` : ''}`;
}

/** Large amounts with a unit: 1234567 -> 1.23M. */
export function compact(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return MISSING;
  const size = Math.abs(value);
  for (const [unit, scale] of [['B', 1e9], ['M', 1e6], ['k', 1e3]] as const) {
    if (size >= scale) return `${fixed(value / scale, size / scale >= 100 ? 0 : 2)}${unit}`;
  }
  return fixed(value, size >= 100 ? 0 : 2);
}

/** A length of time at the precision that matters: 80 ms, 1.4 s, 3 m 20 s, 2 h 5 m. */
export function duration(ms: number | null | undefined): string {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return MISSING;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const secs = ms / 1000;
  if (secs < 60) return `${secs.toFixed(1)} s`;
  const mins = Math.floor(secs / 60);
  if (mins < 60) return `${mins} m ${Math.floor(secs % 60)} s`;
  const hours = Math.floor(mins / 60);
  return hours < 48 ? `${hours} h ${mins % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Microseconds as the largest unit that leaves few digits. */
export function micros(us: number | null | undefined): string {
  if (us === null || us === undefined || !Number.isFinite(us)) return MISSING;
  return us < 1000 ? `${Math.round(us)} µs` : `${(us / 1000).toFixed(1)} ms`;
}

/** The symbol of an instrument id without its venue: XRPUSDT-PERP.BINANCE -> XRPUSDT-PERP. */
export function symbolOf(instrument: string): string {
  const dot = instrument.lastIndexOf('.');
  return dot > 0 ? instrument.slice(0, dot) : instrument;
}

/** `snake_case` words as a person reads them. */
export function words(text: string): string {
  return text.replaceAll('_', ' ');
}

/** Class of a number by its sign. */
export const signTone = (value: number | null | undefined): 'up' | 'down' | '' => (value ? (value > 0 ? 'up' : 'down') : '');

/** Only a model that has shown skill is good news; one that expired or was never judged is not. */
export const verdictTone = (verdict: string): 'up' | 'warn' => (verdict === 'skill' ? 'up' : 'warn');
