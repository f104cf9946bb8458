import { describe, expect, it } from 'vitest';
import { binned } from './models.ts';

describe('reliability', () => {
  it('compares the mean prediction of a bin with the share that won', () => {
    const bins = binned([[0.61, true], [0.65, true], [0.69, false], [0.1, false], [1, true]]);
    expect(bins.map((bin) => [Number(bin.p.toFixed(3)), Number(bin.rate.toFixed(3)), bin.count])).toEqual([[0.1, 0, 1], [0.65, 0.667, 3], [1, 1, 1]]);
  });

  it('has no bins without pairs', () => expect(binned([])).toEqual([]));
});
