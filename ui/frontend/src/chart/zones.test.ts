import { describe, expect, it } from 'vitest';
import { apart, type ZoneLabel } from './zones.ts';

const label = (text: string, x: number, y: number): ZoneLabel => ({ text, x, y, colour: '#fff' });
const kept = (ratio: number, ...labels: ZoneLabel[]): string[] => apart(labels, ratio).map((one) => one.text).sort();

describe('labels of zones', () => {
  it('lie on no other: the last one counts most', () => expect(kept(1, label('a', 0, 0), label('b', 5, 3), label('c', 100, 0))).toEqual(['b', 'c']));
  it('stay where one is above the other', () => expect(kept(1, label('a', 0, 0), label('b', 0, 12))).toEqual(['a', 'b']));
  it('need more room where pixels are small', () => expect(kept(2, label('a', 0, 0), label('b', 0, 12))).toEqual(['b']));
});
