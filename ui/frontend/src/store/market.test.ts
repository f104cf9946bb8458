import { describe, expect, it } from 'vitest';
import { Fixture, makeBars } from '../../dev/fixture.ts';
import type { Bucket, HistoryColumns } from '../net/protocol.ts';
import { BUCKET_FIELDS } from './columns.ts';
import { BarSeries, BucketSeries } from './market.ts';

function columnar(buckets: Bucket[]): HistoryColumns {
  const columns = Object.fromEntries(BUCKET_FIELDS.map((field) => [field, buckets.map((bucket) => bucket[field])]));
  return { ins: 'X', ...columns } as unknown as HistoryColumns;
}

function series(count: number): { series: BucketSeries; buckets: Bucket[]; fixture: Fixture } {
  const fixture = new Fixture();
  return { series: new BucketSeries(), buckets: Array.from({ length: count }, () => fixture.bucket()), fixture };
}

describe('buckets', () => {
  it('replace the developing one by the closed one in the same row', () => {
    const { series: own, buckets, fixture } = series(3);
    for (const bucket of buckets) own.close(bucket);
    own.develop(fixture.developing(0.4));
    expect([own.columns.length, own.closed, own.fill]).toEqual([4, 3, 0.4]);
    own.close(fixture.bucket());
    expect([own.columns.length, own.closed, own.fill]).toEqual([4, 4, NaN]);
  });

  it('are replaced from a number that comes again: a warm-up counts anew', () => {
    const { series: own, buckets, fixture } = series(5);
    expect(buckets.map((bucket) => own.close(bucket))).toEqual([false, false, false, false, false]);
    own.develop(fixture.developing(0.4));
    expect(own.close({ ...buckets[2]!, c: 77 })).toBe(true);
    expect([own.columns.length, own.closed, own.fill, own.columns.at('c', 2)]).toEqual([3, 3, NaN, 77]);
    own.close({ ...buckets[3]!, c: 78 });
    expect(Array.from(own.columns.column('i').subarray(0, own.columns.length))).toEqual(buckets.slice(0, 4).map((bucket) => bucket.i));
  });

  it('take only what is older from a page of history that overlaps', () => {
    const { series: own, buckets } = series(10);
    for (const bucket of buckets.slice(6)) own.close(bucket);
    expect(own.prepend(columnar(buckets.slice(2, 8)))).toBe(4);
    expect(Array.from(own.columns.column('i').subarray(0, own.columns.length))).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    expect(own.prepend(columnar(buckets.slice(2, 8)))).toBe(0);
  });

  it('find the row of a number or the one before it, and of a time', () => {
    const { series: own, buckets } = series(10);
    for (const bucket of buckets.filter((one) => one.i !== 4)) own.close(bucket);
    expect([own.rowOf(0), own.rowOf(4), own.rowOf(5), own.rowOf(99), own.rowOf(-3)]).toEqual([0, 3, 4, 8, -1]);
    expect(own.rowAt(buckets[3]!.t1)).toBe(3);
    expect(own.rowAt(buckets[9]!.t1 + 1e6)).toBe(8);
  });
});

describe('bars', () => {
  it('keep live bars that are newer than those of the server', () => {
    const bars = makeBars('X', 10, 0);
    const own = new BarSeries('5m');
    for (const bar of bars.slice(7)) own.update(bar);
    own.restore(bars.slice(0, 9));
    expect(own.columns.length).toBe(10);
    expect(own.columns.at('t0', 9)).toBe(bars[9]!.t);
    expect(own.factors.get(bars[9]!.t)).toEqual(bars[9]!.factors);
  });

  it('keep a signal on the bar at whose close it was given, and a fill on the one that was open', () => {
    const bars = makeBars('X', 3, 0);
    const own = new BarSeries('5m');
    const closed = bars[1]!.t;
    own.update(bars[0]!);
    const before = own.rowOf(0, closed);
    for (const bar of bars) own.update(bar);
    expect([before, own.rowOf(0, closed), own.rowOf(null, closed + 800)]).toEqual([0, 0, 1]);
  });
});
