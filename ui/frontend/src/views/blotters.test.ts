import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import type { Position, Status, Trade } from '../net/protocol.ts';
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

describe('the table of trades', () => {
  it('says what each made, in risk and money, and why it ended; the newest first', () => {
    const store = new Store(() => undefined, 'X');
    const trade: Trade = { setup: 'S', ins: 'X', side: 'long', ts: 90_000, since: 0, qty: '2', entry: '1', exit: '2', pnl: '-3.5', fees: '0.1', funding: '0', ccy: 'USDT', r: -1.02, reason: 'break_even', tainted: false };
    store.apply('trade', trade);
    store.apply('trade', { ...trade, setup: 'T', ts: 86_400_000, pnl: '7', r: null });
    const app = { store, clock: () => ({ stamp: String }) } as unknown as App;
    const { table } = blotters(app).find((one) => one.title === 'Trades')!;
    const { columns, rows } = table as unknown as TableSpec<Trade>;
    expect(rows().map((row) => row.setup)).toEqual(['T', 'S']);
    const said = Object.fromEntries(columns.map((column) => [column.name, column.text(trade)]));
    expect([said['PnL'], said['R'], said['Reason'], said['Held']]).toEqual(['▼ −3.50 USDT', '−1.02', 'break even', '1 m 30 s']);
  });

  it('does not say that none was closed where the recording cannot know it', () => {
    const store = new Store(() => undefined, 'X');
    const { table } = blotters({ store } as unknown as App).find((one) => one.title === 'Trades')!;
    const empty = (protocol: number): string => {
      store.apply('st', { mode: 'replay', paused: [], halted: [], killed: false, replay: { protocol } } as unknown as Status);
      return table.empty;
    };
    expect([empty(2), empty(1)]).toEqual(['no trade was closed yet', 'not in this recording: it is older than this table']);
  });
});
