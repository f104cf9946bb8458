// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import type { Status } from '../net/protocol.ts';
import { Store } from '../store/store.ts';
import { InstrumentBar } from './instrument-bar.ts';

function bar(status: Partial<Status>): HTMLElement {
  const store = new Store(() => undefined, 'XRPUSDT.BINANCE');
  const app = { store, commands: { obstacle: () => null } } as unknown as App;
  const { element } = new InstrumentBar(app, () => undefined);
  store.apply('st', { mode: 'paper', paused: [], halted: [], holds: [], models: [], instruments: [], killed: false, ...status } as unknown as Status);
  store.flush();
  return element;
}

describe('buttons of the pause', () => {
  const shown = (paused: string[]): string[] =>
    [...bar({ paused }).querySelectorAll<HTMLButtonElement>('[data-action=pause], [data-action=resume]')].filter((one) => !one.hidden).map((one) => one.textContent!);

  it('are Pause alone where nothing is paused', () => expect(shown([])).toEqual(['Pause entries']));
  it('are Resume alone where everything is', () => expect(shown(['*', 'XRPUSDT.BINANCE'])).toEqual(['Resume entries']));
  it('are both where a symbol is', () => expect(shown(['XRPUSDT.BINANCE'])).toEqual(['Pause entries', 'Resume XRPUSDT']));
});

describe('the verdict of the model', () => {
  it.each([['skill', 'up'], ['expired', 'warn'], ['no_skill', 'warn'], ['', 'warn']])('%s is %s', (verdict, tone) => {
    const element = bar({ models: [{ ins: '*', verdict, threshold: 0.4, digest: 'ab' }] });
    const figure = [...element.querySelectorAll('.figure')].find((one) => one.textContent!.startsWith('Model'))!;
    expect(figure.querySelector('.figure-value')!.classList.contains(tone)).toBe(true);
  });
});
