/** Buckets and bars of the instrument on the chart. */
import type { Bar, Bucket, HistoryColumns } from '../net/protocol.ts';
import { BAR_FIELDS, BUCKET_FIELDS, Columns, type BarField, type BucketField } from './columns.ts';

/** The browser holds no more; the oldest fifth goes when a live session passes it. */
const MAX_ROWS = 150_000;

export class BucketSeries {
  readonly columns = new Columns<BucketField>(BUCKET_FIELDS);
  /** Share of the last row that is filled; NaN while the last row is a closed bucket. */
  fill = NaN;

  /** Rows of closed buckets. */
  get closed(): number {
    return this.columns.length - (Number.isNaN(this.fill) ? 0 : 1);
  }

  /** A closed bucket takes the place of the developing one. Returns whether buckets went: a warm-up counts anew from there. */
  close(bucket: Bucket): boolean {
    const isAnew = bucket.i <= this.lastClosed();
    if (isAnew) {
      this.columns.truncate(this.columns.lowerBound('i', bucket.i));
      this.fill = NaN;
    }
    if (Number.isNaN(this.fill)) this.columns.push(bucket);
    else this.columns.set(this.columns.length - 1, bucket);
    this.fill = NaN;
    if (this.columns.length > MAX_ROWS) this.columns.dropFront(MAX_ROWS / 5);
    return isAnew;
  }

  develop(bucket: Bucket): void {
    if (bucket.i <= this.lastClosed()) return;
    if (Number.isNaN(this.fill)) this.columns.push(bucket);
    else this.columns.set(this.columns.length - 1, bucket);
    this.fill = bucket.fill ?? 0;
  }

  /** Put older buckets in front; an answer may overlap with what is here. Returns how many were new. */
  prepend(history: HistoryColumns): number {
    const firstSeq = this.columns.length ? this.columns.at('i', 0) : Infinity;
    let count = history.i.length;
    while (count > 0 && Number(history.i[count - 1]) >= firstSeq) count -= 1;
    this.columns.prepend(history, 0, count);
    return count;
  }

  /** Row of a bucket's number; the row before if it is not here, -1 before the first. */
  rowOf(seq: number): number {
    const row = this.columns.lowerBound('i', seq);
    return this.columns.at('i', row) === seq ? row : row - 1;
  }

  /** Row that was developing at a time (ms); the last row for later ones. */
  rowAt(ms: number): number {
    return Math.min(this.columns.lowerBound('t1', ms), this.columns.length - 1);
  }

  private lastClosed(): number {
    return this.closed > 0 ? this.columns.at('i', this.closed - 1) : -Infinity;
  }
}

export class BarSeries {
  columns = new Columns<BarField>(BAR_FIELDS);
  readonly timeframe: string;
  /** Points of each factor, by the time the bar opened. */
  readonly factors = new Map<number, Record<string, number>>();

  constructor(timeframe: string) {
    this.timeframe = timeframe;
  }

  /** Begin anew with bars of the server; those that came meanwhile and are newer stay. */
  restore(bars: Bar[]): void {
    const live = this.columns;
    const kept = new Map(this.factors);
    this.columns = new Columns<BarField>(BAR_FIELDS);
    for (const bar of bars) this.update(bar);
    for (let row = 0; row < live.length; row += 1) {
      if (live.at('t0', row) <= bars.at(-1)!.t) continue;
      this.columns.push(Object.fromEntries(BAR_FIELDS.map((field) => [field, live.at(field, row)])));
    }
    for (const [time, factors] of kept) this.factors.set(time, factors);
  }

  update(bar: Bar): void {
    const last = this.columns.length - 1;
    const record = { ...bar, i: bar.t, t0: bar.t, t1: bar.t };
    if (last >= 0 && this.columns.at('t0', last) === bar.t) this.columns.set(last, record);
    else if (last < 0 || bar.t > this.columns.at('t0', last)) this.columns.push(record);
    else return;
    this.factors.set(bar.t, bar.factors);
  }

  /** Row of the bar that was open at a time. */
  rowAt(ms: number): number {
    return this.columns.lowerBound('t0', ms + 1) - 1;
  }

  /** Row of what happened at a time; what has a number was known at the close of its bar, when the next one opens. */
  rowOf(seq: number | null, ms: number): number {
    return this.rowAt(seq === null ? ms : ms - 1);
  }
}

export class Market {
  readonly ins: string;
  readonly buckets = new BucketSeries();
  readonly bars = new Map<string, BarSeries>();

  constructor(ins: string) {
    this.ins = ins;
  }

  /** Last price: of the last bucket, or of the last kline where there are none. */
  get last(): number {
    const bars = this.bars.values().next().value?.columns;
    const columns = this.buckets.columns.length || !bars ? this.buckets.columns : bars;
    return columns.at('c', columns.length - 1);
  }

  /** Bars of a timeframe; else of the first that has any. */
  shownBars(timeframe: string): BarSeries | undefined {
    return this.bars.get(timeframe) ?? this.bars.values().next().value;
  }

  barSeries(timeframe: string): BarSeries {
    let series = this.bars.get(timeframe);
    if (!series) this.bars.set(timeframe, (series = new BarSeries(timeframe)));
    return series;
  }
}
