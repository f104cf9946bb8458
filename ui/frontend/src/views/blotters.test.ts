import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import type { Position } from '../net/protocol.ts';
import { Store } from '../store/store.ts';
import { blotters } from './blotters.ts';
import type { TableSpec } from './table.ts';

const POSITION: Position = { ins: 'X', setup: 'S', side: 'long', qty: '1', avg: '2', upnl: null, rpnl: '0', r: null, stop: '1.9', targets: [], since: 0, unprotected_ms: 40 };

describe('the table of positions', () => {
  it('says that the price of an external one is of all that is held, and warns of its time without a stop', () => {
    const store = new Store(() => undefined, 'X');
    const { table } = blotters({ store } as unknown as App).find((one) => one.title === 'Positions')!;
    const { columns } = table as unknown as TableSpec<Position>;
    const cells = (row: Position): string[] => ['Entry', 'Longest unprotected'].flatMap((name) => {
      const column = columns.find((one) => one.name === name)!;
      return [column.text(row), column.tone?.(row) ?? ''];
    });
    const [own, external] = [cells(POSITION), cells({ ...POSITION, setup: 'external', stop: null, unprotected_ms: 90_000 })];
    expect([own[0]!.includes('of all'), ...own.slice(1)]).toEqual([false, '', '40 ms', '']);
    expect([external[0]!.endsWith(' avg of all'), ...external.slice(1)]).toEqual([true, '', '1 m 30 s', 'warn']);
  });
});
