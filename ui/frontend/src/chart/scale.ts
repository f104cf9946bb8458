/** A horizontal scale of buckets: the item is an integer key, its label the time the bucket closed. */
import type {
  ChartOptionsImpl, DataItem, HorzScaleItemConverterToInternalObj, IHorzScaleBehavior, InternalHorzScaleItem,
  InternalHorzScaleItemKey, LocalizationOptions, Mutable, SeriesDataItemTypeMap, SeriesType, TickMark,
  TickMarkWeightValue, TimeMark, TimeScalePoint,
} from 'lightweight-charts';
import { Weight, type Clock } from '../lib/time.ts';

/** What the scale has to know of the rows: time and label by key. */
export interface KeyTimes {
  time(key: number): number;
  label(key: number): string;
}

/** Loads that are told apart: a fraction of a millisecond each, as many as a double holds. */
const LOADS = 1000;

export class BucketScale implements IHorzScaleBehavior<number> {
  private chartOptions!: ChartOptionsImpl<number>;
  private readonly times: KeyTimes;
  private readonly clock: () => Clock;
  private loads = 0;

  constructor(times: KeyTimes, clock: () => Clock) {
    this.times = times;
    this.clock = clock;
  }

  options(): ChartOptionsImpl<number> {
    return this.chartOptions;
  }

  setOptions(options: ChartOptionsImpl<number>): void {
    this.chartOptions = options;
  }

  preprocessData(_data: DataItem<number> | DataItem<number>[]): void {}

  updateFormatter(_options: LocalizationOptions<number>): void {}

  createConverterToInternalObj(
    _data: SeriesDataItemTypeMap<number>[SeriesType][],
  ): HorzScaleItemConverterToInternalObj<number> {
    return (key) => key as unknown as InternalHorzScaleItem;
  }

  convertHorzItemToInternal(item: number): InternalHorzScaleItem {
    return item as unknown as InternalHorzScaleItem;
  }

  key(item: InternalHorzScaleItem | number): InternalHorzScaleItemKey {
    return item as unknown as InternalHorzScaleItemKey;
  }

  /** The rows were loaded anew: labels that the library keeps may be of others, or of other weights. */
  forget(): void {
    this.loads = (this.loads + 1) % LOADS;
  }

  /** Of a label: a key is that of another bucket after a seek, and a bucket that forms closes later than now. */
  cacheKey(item: InternalHorzScaleItem): number {
    return this.times.time(item as unknown as number) + this.loads / LOADS;
  }

  formatHorzItem(item: InternalHorzScaleItem): string {
    return this.times.label(item as unknown as number);
  }

  formatTickmark(mark: TickMark): string {
    const ms = this.times.time(mark.time as unknown as number);
    const weight = mark.weight as unknown as Weight;
    if (weight >= Weight.Day) return this.clock().day(ms);
    return weight >= Weight.Minute ? this.clock().minute(ms) : this.clock().time(ms);
  }

  maxTickMarkWeight(marks: TimeMark[]): TickMarkWeightValue {
    let heaviest = 0;
    for (const mark of marks) heaviest = Math.max(heaviest, mark.weight as unknown as number);
    // Hours stand out among minutes, but six o'clock no more than seven.
    if (heaviest > Weight.Hour && heaviest < Weight.Day) heaviest = Weight.Hour;
    return heaviest as unknown as TickMarkWeightValue;
  }

  fillWeightsForPoints(points: readonly Mutable<TimeScalePoint>[], start: number): void {
    const clock = this.clock();
    let before = start > 0 ? this.times.time(points[start - 1]!.time as unknown as number) : NaN;
    for (let index = start; index < points.length; index += 1) {
      const now = this.times.time(points[index]!.time as unknown as number);
      const weight = Number.isNaN(before) ? Weight.Day : clock.weight(before, now);
      points[index]!.timeWeight = weight as unknown as TickMarkWeightValue;
      before = now;
    }
  }
}
