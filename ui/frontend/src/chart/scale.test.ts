import { describe, expect, it } from 'vitest';
import type { Mutable, TickMark, TimeScalePoint } from 'lightweight-charts';
import { Clock } from '../lib/time.ts';
import { ramp, RAMP_STEPS, shadeOf } from './palette.ts';
import { BucketScale } from './scale.ts';

/** Buckets that close at irregular times: several within a second, then a pause over midnight. */
const TIMES = [0, 200, 400, 1100, 61_000, 301_000, 86_400_000].map((ms) => Date.UTC(2026, 10, 20, 12) + ms);
const scale = (zone = 'UTC'): BucketScale => {
  const clock = new Clock(zone);
  return new BucketScale({ time: (key) => TIMES[key]!, label: (key) => `#${key}` }, () => clock);
};
const points = (): Mutable<TimeScalePoint>[] => TIMES.map((_, key) => ({ time: key, timeWeight: 0, originalTime: key }) as unknown as Mutable<TimeScalePoint>);

describe('bucket scale', () => {
  it('keeps buckets of one second apart', () => {
    const own = scale();
    expect([0, 1, 2].map((item) => own.key(own.convertHorzItemToInternal(item)))).toEqual([0, 1, 2]);
  });

  it('gives each bucket the weight of the boundary before it', () => {
    const list = points();
    scale().fillWeightsForPoints(list, 0);
    expect(list.map((point) => Number(point.timeWeight))).toEqual([50, 0, 0, 10, 20, 21, 50]);
  });

  it('weighs only from where it is asked', () => {
    const list = points();
    scale().fillWeightsForPoints(list, 5);
    expect(list.map((point) => Number(point.timeWeight))).toEqual([0, 0, 0, 0, 0, 21, 50]);
  });

  it('labels by weight in the chosen zone', () => {
    const mark = (time: number, weight: number): TickMark => ({ index: time, time, weight, originalTime: time }) as unknown as TickMark;
    const own = scale('Asia/Tokyo');
    expect([mark(3, 10), mark(4, 20), mark(6, 50)].map((one) => own.formatTickmark(one))).toEqual(['21:00:01', '21:01', '21 Nov']);
    expect(own.formatHorzItem(own.convertHorzItemToInternal(4))).toBe('#4');
  });

  it('lets no label be kept for another bucket of the same key, nor for one that closed later', () => {
    const times = [...TIMES];
    const own = new BucketScale({ time: (key) => times[key]!, label: String }, () => new Clock('UTC'));
    const cached = (): number => own.cacheKey(own.convertHorzItemToInternal(4));
    const before = cached();
    expect(cached()).toBe(before);
    times[4]! += 1;
    const later = cached();
    own.forget();
    expect(new Set([before, later, cached()]).size).toBe(3);
  });
});

describe('ramp of imbalance', () => {
  it('ends in the two colours with neutral in the middle', () => {
    const shades = ramp('#ff0000', '#808080', '#00ff00');
    expect([shades[0], shades[(RAMP_STEPS - 1) / 2], shades.at(-1)]).toEqual(['rgb(255,0,0)', 'rgb(128,128,128)', 'rgb(0,255,0)']);
  });

  it.each([[-1, 0], [0, 8], [1, 16], [3, 16], [NaN, 8]])('imbalance %d has shade %d', (imbalance, shade) => {
    expect(shadeOf(imbalance)).toBe(shade);
  });
});
