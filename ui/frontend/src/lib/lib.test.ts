import { describe, expect, it } from 'vitest';
import { arrowed, compact, decimal, duration, fixed, micros, percent, placesOf, signed, symbolOf } from './format.ts';
import { Clock, Weight } from './time.ts';

describe('numbers', () => {
  it.each([[0.0001, 4], [0.5, 1], [5, 0], [0.00000001, 8], [0.25, 2], [0, 2]])('a tick of %d has %d places', (tick, places) => {
    expect(placesOf(tick)).toBe(places);
  });

  it('show signs without colour, and a dash for nothing', () => {
    expect([signed(1.5, 2), signed(-1.5, 2), signed(0, 2), signed(null, 2)]).toEqual(['+1.50', '−1.50', '0.00', '–']);
    expect([arrowed(1234.5, 1), arrowed(-2, 1), arrowed(NaN, 1)]).toEqual(['▲ +1,234.5', '▼ −2.0', '–']);
    expect([fixed(1e6, 0), percent(0.1234), percent(null)]).toEqual(['1,000,000', '12.3%', '–']);
  });

  it('leave decimal text exact', () => {
    expect(['12000.5000', '0.00000100', '-3', '100', '', null].map(decimal)).toEqual(['12,000.5', '0.000001', '−3', '100', '–', '–']);
    expect(decimal('123456789012345678.123456789')).toBe('123,456,789,012,345,678.123456789');
  });

  it('choose the unit', () => {
    expect([compact(950), compact(12_345), compact(-1_234_567), compact(2.5e9)]).toEqual(['950', '12.35k', '−1.23M', '2.50B']);
    expect([duration(80), duration(1400), duration(200_000), duration(7.5e6)]).toEqual(['80 ms', '1.4 s', '3 m 20 s', '2 h 5 m']);
    expect([micros(180), micros(1800)]).toEqual(['180 µs', '1.8 ms']);
  });

  it('part symbol and venue', () => {
    expect([symbolOf('XRPUSDT-PERP.BINANCE'), symbolOf('XRP')]).toEqual(['XRPUSDT-PERP', 'XRP']);
  });
});

describe('clock', () => {
  const moment = Date.UTC(2026, 10, 20, 23, 30, 5, 7);

  it('shows one moment in the chosen zone', () => {
    expect(new Clock('UTC').stamp(moment)).toBe('20 Nov 23:30:05.007');
    expect(new Clock('Asia/Kolkata').stamp(moment)).toBe('21 Nov 05:00:05.007');
    expect(new Clock('America/New_York').date(moment)).toBe('2026-11-20 18:30');
  });

  it('follows summer time within a day', () => {
    const berlin = new Clock('Europe/Berlin');
    const before = Date.UTC(2026, 2, 29, 0, 59, 59);
    expect([berlin.time(before), berlin.time(before + 1000)]).toEqual(['01:59:59', '03:00:00']);
  });

  it('weighs a step in time by the largest boundary it crosses', () => {
    const utc = new Clock('UTC');
    const at = (...parts: [number, number, number, number, number, number]): number => Date.UTC(...parts);
    const noon = at(2026, 10, 20, 11, 59, 59);
    expect(utc.weight(noon, noon + 1)).toBe(Weight.None);
    expect(utc.weight(noon, noon + 1000)).toBe(Weight.SixHours);
    expect(utc.weight(at(2026, 10, 20, 12, 0, 0), at(2026, 10, 20, 12, 0, 1))).toBe(Weight.Second);
    expect(utc.weight(at(2026, 10, 20, 12, 4, 0), at(2026, 10, 20, 12, 5, 0))).toBe(Weight.FiveMinutes);
    expect(utc.weight(moment, moment + 3.6e6)).toBe(Weight.Day);
    expect(utc.weight(at(2026, 10, 30, 1, 0, 0), at(2026, 11, 1, 1, 0, 0))).toBe(Weight.Month);
    expect(utc.weight(at(2026, 11, 31, 1, 0, 0), at(2027, 0, 1, 1, 0, 0))).toBe(Weight.Year);
    expect(new Clock('America/New_York').weight(moment, moment + 3.6e6)).toBe(Weight.Hour);
  });
});
