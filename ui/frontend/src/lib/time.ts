/** Times in one zone for axis, tables and logs. Offsets are cached by the hour: Intl is slow, calendars are not. */

const HOUR_MS = 3_600_000;
const pad = (value: number, width = 2): string => String(value).padStart(width, '0');
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** Weights of the boundaries that a step in time can cross, after those of Lightweight Charts. */
export const enum Weight {
  None = 0,
  Second = 10,
  Minute = 20,
  FiveMinutes = 21,
  HalfHour = 22,
  Hour = 30,
  SixHours = 32,
  Day = 50,
  Month = 60,
  Year = 70,
}

const STEPS: [number, Weight][] = [
  [6 * HOUR_MS, Weight.SixHours],
  [HOUR_MS, Weight.Hour],
  [HOUR_MS / 2, Weight.HalfHour],
  [300_000, Weight.FiveMinutes],
  [60_000, Weight.Minute],
  [1000, Weight.Second],
];

export class Clock {
  readonly zone: string;
  private readonly offsets = new Map<number, number>();
  private readonly format: Intl.DateTimeFormat | null;

  constructor(zone: string) {
    this.zone = zone;
    this.format =
      zone === 'UTC'
        ? null
        : new Intl.DateTimeFormat('en-US', {
            timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric',
            hour: 'numeric', minute: 'numeric', second: 'numeric',
          });
  }

  /** A date whose UTC fields are the wall clock of the zone. */
  private wall(ms: number): Date {
    return new Date(ms + this.offset(ms));
  }

  private offset(ms: number): number {
    if (!this.format) return 0;
    const hour = Math.floor(ms / HOUR_MS);
    let offset = this.offsets.get(hour);
    if (offset === undefined) {
      const part: Record<string, number> = {};
      for (const { type, value } of this.format.formatToParts(hour * HOUR_MS)) part[type] = Number(value);
      offset =
        Date.UTC(part['year']!, part['month']! - 1, part['day'], part['hour'], part['minute'], part['second']) -
        hour * HOUR_MS;
      this.offsets.set(hour, offset);
    }
    return offset;
  }

  /** 17:06:20 */
  time(ms: number): string {
    const wall = this.wall(ms);
    return `${pad(wall.getUTCHours())}:${pad(wall.getUTCMinutes())}:${pad(wall.getUTCSeconds())}`;
  }

  /** 17:06 */
  minute(ms: number): string {
    return this.time(ms).slice(0, 5);
  }

  /** 20 Nov */
  day(ms: number): string {
    const wall = this.wall(ms);
    return `${wall.getUTCDate()} ${MONTHS[wall.getUTCMonth()]}`;
  }

  /** 20 Nov 17:06:20.003 */
  stamp(ms: number | null | undefined): string {
    if (ms === null || ms === undefined || !Number.isFinite(ms)) return '–';
    return `${this.day(ms)} ${this.time(ms)}.${pad(this.wall(ms).getUTCMilliseconds(), 3)}`;
  }

  /** 2026-01-05 17:06 */
  date(ms: number): string {
    const wall = this.wall(ms);
    const date = `${wall.getUTCFullYear()}-${pad(wall.getUTCMonth() + 1)}-${pad(wall.getUTCDate())}`;
    return `${date} ${this.minute(ms)}`;
  }

  /** The largest calendar boundary between two times. */
  weight(before: number, after: number): Weight {
    const a = before + this.offset(before);
    const b = after + this.offset(after);
    if (Math.floor(a / (24 * HOUR_MS)) !== Math.floor(b / (24 * HOUR_MS))) {
      const [from, to] = [new Date(a), new Date(b)];
      if (from.getUTCFullYear() !== to.getUTCFullYear()) return Weight.Year;
      return from.getUTCMonth() === to.getUTCMonth() ? Weight.Day : Weight.Month;
    }
    for (const [step, weight] of STEPS) if (Math.floor(a / step) !== Math.floor(b / step)) return weight;
    return Weight.None;
  }
}

/** Time zones offered in the settings; the browser's own is put first after UTC. */
export function zones(): string[] {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const common = [
    'UTC', own, 'Europe/London', 'Europe/Berlin', 'America/New_York', 'America/Chicago', 'America/Los_Angeles',
    'America/Sao_Paulo', 'Asia/Dubai', 'Asia/Kolkata', 'Asia/Singapore', 'Asia/Hong_Kong', 'Asia/Tokyo', 'Australia/Sydney',
  ];
  return [...new Set(common.filter(Boolean))];
}
