// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import type { Position } from '../net/protocol.ts';
import { Store } from '../store/store.ts';
import { SidePanel } from './side.ts';

const POSITION: Position = { ins: 'X', setup: 'S', side: 'long', qty: '1', avg: '2', upnl: null, rpnl: '0', r: null, stop: '1.9', targets: [], since: 0, unprotected_ms: 3000 };

describe('the position in the side panel', () => {
  it('calls the time without a stop the longest: it is of the symbol, not of this position', () => {
    const store = new Store(() => undefined, 'X');
    store.apply('pos', POSITION);
    const { element } = new SidePanel({ store, commands: { obstacle: () => null } } as unknown as App);
    const names = [...element.querySelectorAll('dt')];
    const found = names.find((one) => one.textContent!.includes('nprotected'))!;
    expect([found.textContent, found.nextElementSibling!.className]).toEqual(['Longest unprotected', '']);
    expect(names.some((one) => one.textContent === 'Stop (planned)')).toBe(true);
  });

  it('says of one that no setup explains that it is external and has no stop', () => {
    const store = new Store(() => undefined, 'X');
    store.apply('pos', { ...POSITION, setup: 'external', stop: null });
    const { element } = new SidePanel({ store, commands: { obstacle: () => null } } as unknown as App);
    const pairs = [...element.querySelectorAll('.position dt')].map((one) => [one.textContent, one.nextElementSibling!.textContent, one.nextElementSibling!.className]);
    expect(pairs[0]![0]).toBe('Entry (average of all held)');
    expect(pairs.slice(1)).toEqual([['Stop', 'none', 'warn'], ['Setup', 'none: external', 'warn']]);
  });
});
