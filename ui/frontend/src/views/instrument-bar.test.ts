// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import type { Account, Status } from '../net/protocol.ts';
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

describe('the day', () => {
  const DAY = 86_400_000;
  const MIXED = { USDT: { n: 600, pnl: '1.5', r: 1 }, USDC: { n: 1, pnl: '-2', r: null }, BTC: { n: 1, pnl: '0.00123', r: -0.02 } };
  const figures = (closed: Account['closed'], at: number | null = null): Map<string, HTMLElement> => {
    const store = new Store(() => undefined, 'XRPUSDT.BINANCE');
    const { element } = new InstrumentBar({ store, commands: { obstacle: () => null } } as unknown as App, () => undefined);
    if (at !== null) store.apply('st', { mode: 'replay', paused: [], halted: [], models: [], replay: { from: 0, to: 9 * DAY, at, speed: 1, paused: true } } as unknown as Status);
    store.apply('acct', { ts: DAY + 9, equity: '1010', day_pnl: '10', dd_pct: 0, fees: '0', balances: {}, closed });
    store.flush();
    return new Map([...element.querySelectorAll<HTMLElement>('.figure')].map((one) => [one.querySelector('.figure-label')!.textContent!, one]));
  };
  const value = (of: Map<string, HTMLElement>, name: string): string => of.get(name)!.querySelector('.figure-value')!.textContent!;

  it('has its realised profit and the change of the account side by side, before figures of the machine', () => {
    const found = figures({ USDT: { n: 2, pnl: '1.5', r: 0.98 } });
    expect([...found.keys()].slice(0, 3)).toEqual(['Equity', 'Day PnL', 'Day equity']);
    expect([value(found, 'Day PnL'), value(found, 'Day equity')]).toEqual(['▲ +1.50 USDT, +0.98 R (2)', '▲ +10.00']);
  });

  it('says of its profit what is not in it', () => {
    expect(figures({}).get('Day PnL')!.title).toMatch(/closed trades since 00:00 UTC after fees and funding.*open positions are not in it/);
  });

  it('adds no currencies up, and counts what closed before the table of trades begins', () => {
    expect(value(figures(MIXED), 'Day PnL')).toBe('+1.50 USDT, −2.00 USDC, +0.00123 BTC, +0.98 R (602)');
  });

  it('says nothing of trades where the node did not, and none where none closed', () => {
    expect([null, undefined, {}].map((closed) => value(figures(closed), 'Day PnL'))).toEqual(['–', '–', 'none closed']);
  });

  it('shows no figure of yesterday while a replay is silent', () => {
    const shown = (at: number): string[] => ['Equity', 'Day PnL', 'Day equity'].map((name) => value(figures({}, at), name));
    expect(shown(2 * DAY - 1)).toEqual(['1,010.00', 'none closed', '▲ +10.00']);
    expect(shown(2 * DAY)).toEqual(['1,010.00', '–', '–']);
  });

  it('has a tooltip at each figure', () => {
    expect([...figures({}).values()].every((one) => one.title !== '')).toBe(true);
  });
});

describe('the verdict of the model', () => {
  it.each([['skill', 'up'], ['expired', 'warn'], ['no_skill', 'warn'], ['', 'warn']])('%s is %s', (verdict, tone) => {
    const element = bar({ models: [{ ins: '*', verdict, threshold: 0.4, digest: 'ab' }] });
    const figure = [...element.querySelectorAll('.figure')].find((one) => one.textContent!.startsWith('Model'))!;
    expect(figure.querySelector('.figure-value')!.classList.contains(tone)).toBe(true);
  });
});
