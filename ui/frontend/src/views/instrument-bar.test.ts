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

describe('the change beside the price', () => {
  const HOUR = 3_600_000;
  const shown = (hours: number[]): string => {
    const store = new Store(() => undefined, 'XRPUSDT.BINANCE');
    const app = { store, commands: { obstacle: () => null } } as unknown as App;
    const { element } = new InstrumentBar(app, () => undefined);
    hours.forEach((at, i) => {
      const price = 100 + i;
      store.apply('bkt', { ins: 'XRPUSDT.BINANCE', i, t0: at * HOUR, t1: at * HOUR, o: price, h: price, l: price, c: price, v: 1, bv: 1, sv: 0, n: 1, imb: 0, dir: 0, tainted: false, vpin: null, vol: null, p: null });
    });
    store.flush();
    return element.querySelector('.change')!.textContent!.replace('+', '');
  };

  it('is of a day, however much is loaded', () => expect(shown([0, 30, 40, 60])).toBe('▲ 0.98% in 24 h'));
  it('says how much it is of where less is loaded', () => expect(shown([0, 3])).toBe('▲ 1.00% in 3 h 0 m'));
});

describe('the verdict of the model', () => {
  it.each([['skill', 'up'], ['expired', 'warn'], ['no_skill', 'warn'], ['', 'warn']])('%s is %s', (verdict, tone) => {
    const element = bar({ models: [{ ins: '*', verdict, threshold: 0.4, digest: 'ab' }] });
    const figure = [...element.querySelectorAll('.figure')].find((one) => one.textContent!.startsWith('Model'))!;
    expect(figure.querySelector('.figure-value')!.classList.contains(tone)).toBe(true);
  });
});
