import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import type { Status } from '../net/protocol.ts';
import { Link } from '../store/link.ts';
import { Store } from '../store/store.ts';
import { Commander } from './commands.ts';
import { resume, togglePause } from './control.ts';

const XRP = 'XRPUSDT.BINANCE';

function app(paused: string[]): { app: App; sent: [string, unknown][] } {
  const sent: [string, unknown][] = [];
  const [store, link] = [new Store(() => undefined), new Link()];
  store.apply('st', { mode: 'paper', paused, halted: [], killed: false } as unknown as Status);
  link.frame(0, performance.now());
  const ask = async <T,>(_event: string, data: unknown): Promise<T> => {
    const { action, args } = data as { action: string; args: Record<string, unknown> };
    sent.push([action, args['instrument']]);
    return { outcome: 'done' } as T;
  };
  const commands = new Commander({ open: () => undefined, send: () => undefined, ask }, store, link, () => 'operator');
  return { app: { store, link, commands } as unknown as App, sent };
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
