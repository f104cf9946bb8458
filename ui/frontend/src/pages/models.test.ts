import { describe, expect, it } from 'vitest';
import { binned, driftTag } from './models.ts';

describe('reliability', () => {
  it('compares the mean prediction of a bin with the share that won', () => {
    const bins = binned([[0.61, true], [0.65, true], [0.69, false], [0.1, false], [1, true]]);
    expect(bins.map((bin) => [Number(bin.p.toFixed(3)), Number(bin.rate.toFixed(3)), bin.count])).toEqual([[0.1, 0, 1], [0.65, 0.667, 3], [1, 1, 1]]);
  });

  it('has no bins without pairs', () => expect(binned([])).toEqual([]));
});

describe('drift', () => {
  it.each([
    [null, 'muted', 'not watched'], ['waiting', 'muted', 'too few buckets yet'], ['ok', 'up', 'none seen'], ['warn', 'warn', 'look'], ['alarm', 'down', 'alarm'],
    ['vpin moved', 'warn', 'look'],
  ])('of state %s has its own tone and words', (state, tone, text) => expect(driftTag(state)).toEqual([tone, text]));
});
