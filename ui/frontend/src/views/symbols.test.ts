// @vitest-environment happy-dom
import { expect, it } from 'vitest';
import type { App } from '../app.ts';
import { Clock } from '../lib/time.ts';
import type { Signal, Status } from '../net/protocol.ts';
import { Store } from '../store/store.ts';
import { openSymbols } from './symbols.ts';

it('lists all of two hundred symbols, says how many, and what was last signalled', () => {
  const store = new Store(() => undefined, 'C0');
  const instruments = Array.from({ length: 200 }, (_, index) => ({ id: `C${index}-PERP.X`, tick: '0.1', lot: '1', bucket_usd: null, kind: 'bars' }));
  store.apply('st', { mode: 'paper', instruments } as unknown as Status);
  store.apply('sig', { id: '1', ins: 'C150-PERP.X', ts: 60_000, side: -1, confidence: 0.45, taken: true, skip: null } as unknown as Signal);
  openSymbols({ store, clock: () => new Clock('UTC') } as unknown as App);
  const dialog = document.querySelector('dialog')!;
  expect(dialog.querySelectorAll('[role=option]')).toHaveLength(200);
  expect(dialog.textContent).toContain('200 of 200 symbols');
  const said = [...dialog.querySelectorAll('[role=option]')].find((one) => one.textContent!.startsWith('C150-PERP'))!;
  expect(said.textContent).toContain('▼ 45% at 1970-01-01 00:01');
  const input = dialog.querySelector('input')!;
  input.value = 'C19';
  input.dispatchEvent(new Event('input'));
  expect(dialog.textContent).toContain('11 of 200 symbols');
});
