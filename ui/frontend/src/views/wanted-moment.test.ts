import { describe, expect, it } from 'vitest';
import { WantedMoment } from './wanted-moment.ts';

describe('a wanted moment', () => {
  it('is shown once its buckets are loaded, and while older ones are still to come', () => {
    const moment = new WantedMoment();
    moment.want('ADA', 500, 0);
    expect(moment.next('XRP', 0, 1)).toBeNull(); // the former instrument
    expect(moment.next('ADA', undefined, 2)).toBeNull();
    expect(moment.next('ADA', 800, 3)).toBe(500); // as far as there is
    expect(moment.next('ADA', 400, 4)).toBe(500);
    expect(moment.next('ADA', 300, 5)).toBeNull(); // shown: the chart is the reader's again
  });

  it('is given up when it never comes, or when somebody moves the chart', () => {
    const moment = new WantedMoment();
    moment.want('ADA', 500, 0);
    expect(moment.next('ADA', 800, 20_000)).toBeNull();
    expect(moment.next('ADA', 400, 20_001)).toBeNull();
    moment.want('ADA', 500, 0);
    moment.forget();
    expect(moment.next('ADA', 400, 1)).toBeNull();
  });
});
