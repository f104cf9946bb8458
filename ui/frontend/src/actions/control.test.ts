// @vitest-environment happy-dom
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { App } from '../app.ts';
import type { Position, Status } from '../net/protocol.ts';
import { Link } from '../store/link.ts';
import { Store } from '../store/store.ts';
import { Commander } from './commands.ts';
import { perform, resume, togglePause } from './control.ts';

const XRP = 'XRPUSDT.BINANCE';

function app(paused: string[], ...positions: Position[]): { app: App; sent: [string, unknown][]; all: Record<string, unknown>[] } {
  const sent: [string, unknown][] = [];
  const all: Record<string, unknown>[] = [];
  const [store, link] = [new Store(() => undefined), new Link()];
  store.apply('st', { mode: 'paper', paused, halted: [], killed: false } as unknown as Status);
  for (const position of positions) store.apply('pos', position);
  link.frame(0, performance.now());
  const ask = async <T,>(_event: string, data: unknown): Promise<T> => {
    const { action, args } = data as { action: string; args: Record<string, unknown> };
    sent.push([action, args['instrument']]);
    all.push(args);
    return { outcome: 'done' } as T;
  };
  const commands = new Commander({ open: () => undefined, send: () => undefined, ask }, store, link, () => 'operator');
  return { app: { store, link, commands } as unknown as App, sent, all };
}

describe('pausing', () => {
  it.each([
    [[], 'pause'], [['*'], 'resume'], [['*', XRP], 'resume'], [[XRP], 'pause'],
  ] as [string[], string][])('with %j paused, P sends %s for everything', async (paused, action) => {
    const { app: own, sent } = app(paused);
    await togglePause(own);
    expect(sent).toEqual([[action, undefined]]);
  });

  it('is ended of each symbol that is paused by itself', async () => {
    const { app: own, sent } = app([XRP, 'ADAUSDT.BINANCE']);
    await resume(own);
    expect(sent).toEqual([['resume', XRP], ['resume', 'ADAUSDT.BINANCE']]);
  });
});

const held = (side: Position['side'], qty: string, setup = 'S1'): Position => ({ ins: XRP, setup, side, qty, avg: '0.5', upnl: '1', rpnl: '0', r: null, stop: null, targets: [], since: 0, unprotected_ms: 0 });
const lines = (): string => document.querySelector('.effects')?.textContent ?? '';
const confirm = (): boolean => document.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }));
const type = (word: string): void => {
  const input = document.querySelector('input')!;
  input.value = word;
  input.dispatchEvent(new Event('input'));
};

describe('closing', () => {
  beforeEach(() => {
    document.body.replaceChildren();
    vi.useFakeTimers({ toFake: ['setTimeout'] });
  });
  afterEach(() => void vi.useRealTimers());

  it.each([
    ['the other side', held('short', '3')], ['more', held('long', '3.1')], ['another setup', held('long', '3', 'S2')],
  ])('is asked again when there is %s at the confirmation', async (_name, later) => {
    const { app: own, sent } = app([], held('long', '3'));
    const done = perform(own, 'close', XRP);
    expect(lines()).toContain('XRPUSDT: long 3');
    if (later.setup !== 'S1') own.store.apply('pos', held('flat', '0'));
    own.store.apply('pos', later);
    confirm();
    await vi.advanceTimersByTimeAsync(0);
    expect(lines()).toContain('has changed');
    // The second click of a double click.
    confirm();
    await vi.advanceTimersByTimeAsync(600);
    expect([sent, document.querySelector<HTMLButtonElement>('button[type=submit]')!.disabled]).toEqual([[], true]);
    await vi.advanceTimersByTimeAsync(100);
    confirm();
    await done;
    expect(sent).toEqual([['close', XRP]]);
  });

  it.each([
    ['prices alone have moved', { ...held('long', '3.0'), upnl: '-7' }], ['less is left', held('long', '2')], ['nothing is left', held('flat', '0')],
  ])('goes on when %s', async (_name, later) => {
    const { app: own, sent } = app([], held('long', '3'));
    const done = perform(own, 'close', XRP);
    own.store.apply('pos', later);
    confirm();
    await done;
    expect(sent).toEqual([['close', XRP]]);
  });

  it('of everything asks once again at most, and keeps the word that was typed', async () => {
    const { app: own, sent } = app([], held('long', '3'));
    own.store.apply('st', { mode: 'live', paused: [], halted: [], killed: false } as unknown as Status);
    const done = perform(own, 'flatten');
    type('FLATTEN');
    own.store.apply('pos', held('long', '4'));
    confirm();
    await vi.advanceTimersByTimeAsync(0);
    expect(lines()).toContain('whatever is open when you confirm');
    expect(document.querySelector('input')!.value).toBe('FLATTEN');
    own.store.apply('pos', held('long', '5'));
    await vi.advanceTimersByTimeAsync(700);
    confirm();
    await done;
    expect(sent).toEqual([['flatten', undefined]]);
  });

  it('of what no setup explains is said to the node, and a flatten says that it leaves it alone', async () => {
    const { app: own, all } = app([], held('long', '3'), held('long', '7', 'external'));
    const closed = perform(own, 'close', XRP);
    expect(lines()).toContain('external long 7');
    confirm();
    await closed;
    const flattened = perform(own, 'flatten');
    expect(lines()).toContain('Left alone, close it by itself: XRPUSDT: external long 7');
    confirm();
    await flattened;
    expect(all).toEqual([{ instrument: XRP, external: true }, {}]);
  });
});

describe('killing', () => {
  it('asks once, whatever changes meanwhile', async () => {
    const { app: own, sent } = app([], held('long', '3'));
    const done = perform(own, 'kill');
    own.store.apply('pos', held('short', '3'));
    type('KILL');
    confirm();
    await done;
    expect(sent).toEqual([['kill', undefined]]);
  });
});
