import { describe, expect, it } from 'vitest';
import { Columns } from './columns.ts';

function filled(count: number): Columns<'i' | 'c'> {
  const columns = new Columns(['i', 'c'] as const);
  for (let row = 0; row < count; row += 1) columns.push({ i: 10 + row, c: row * 2 });
  return columns;
}

describe('columns', () => {
  it('keep every row while they grow past their capacity', () => {
    const columns = filled(5000);
    expect(columns.length).toBe(5000);
    expect([columns.at('c', 0), columns.at('c', 4999)]).toEqual([0, 9998]);
  });

  it('hold missing values as NaN', () => {
    const columns = new Columns(['c'] as const);
    columns.push({ c: null });
    columns.push({});
    expect([columns.at('c', 0), columns.at('c', 1), columns.at('c', 2)]).toEqual([NaN, NaN, NaN]);
  });

  it('keep the key of a row when older rows are put in front', () => {
    const columns = filled(3);
    const key = 1 + columns.origin;
    columns.prepend({ i: [7, 8, 9], c: [1, 2, 3] }, 1, 2);
    expect(columns.length).toBe(5);
    expect([0, 1, 2].map((row) => columns.at('i', row))).toEqual([8, 9, 10]);
    expect(columns.at('i', key - columns.origin)).toBe(11);
  });

  it('keep the key of a row when the oldest rows are dropped', () => {
    const columns = filled(10);
    const key = 7 + columns.origin;
    columns.dropFront(4);
    expect(columns.length).toBe(6);
    expect(columns.at('i', key - columns.origin)).toBe(17);
  });

  it('find the first row whose value is not below what is asked', () => {
    const columns = filled(10);
    expect([9, 10, 14, 19, 20].map((value) => columns.lowerBound('i', value))).toEqual([0, 0, 4, 9, 10]);
  });
});
