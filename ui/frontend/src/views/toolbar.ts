/** Over the chart: buckets or klines, what is painted, back to the newest. */
import type { App } from '../app.ts';
import { h } from '../lib/dom.ts';
import type { Settings, ZoneToggle } from '../store/settings.ts';
import type { ChartPanel } from './chart-panel.ts';

const OVERLAYS: [ZoneToggle | 'markers', string, string][] = [
  ['ote', 'OTE', 'optimal trade entry'], ['ob', 'OB', 'order blocks'], ['fvg', 'FVG', 'fair value gaps'],
  ['liquidity', 'Liq', 'liquidity'], ['range', 'Range', 'dealing range'], ['structure', 'Struct', 'breaks and changes of structure'],
  ['markers', 'Marks', 'entries, cancels, fills, exits, skipped signals'],
];

export class Toolbar {
  readonly element: HTMLElement;
  private readonly app: App;
  private readonly views = new Map<Settings['view'], HTMLButtonElement>();
  private readonly overlays = new Map<ZoneToggle | 'markers', HTMLButtonElement>();
  private readonly timeframe = h<HTMLSelectElement>('select.field.tiny', { 'aria-label': 'timeframe', hidden: true });
  private readonly colouring: HTMLButtonElement;

  constructor(app: App, chart: ChartPanel) {
    this.app = app;
    const { settings } = app;
    const seg = h('div.segment', { role: 'group', 'aria-label': 'chart' });
    for (const [view, label] of [['buckets', 'Buckets'], ['bars', 'Klines']] as const) {
      const button = h<HTMLButtonElement>('button', { title: `${label} (V)`, onclick: () => settings.set({ view }) }, label);
      this.views.set(view, button);
      seg.append(button);
    }
    const toggles = h('div.toggles', { role: 'group', 'aria-label': 'overlays' });
    for (const [name, label, title] of OVERLAYS) {
      const button = h<HTMLButtonElement>(`button.toggle.is-${name}`, { title, onclick: () => this.toggle(name) }, h('i.swatch'), label);
      this.overlays.set(name, button);
      toggles.append(button);
    }
    this.colouring = h<HTMLButtonElement>('button.toggle', { onclick: () => this.recolour() });
    const follow = h<HTMLButtonElement>('button.btn.tiny.follow', { title: 'follow the newest (End)', hidden: true, onclick: () => chart.host.follow() }, 'Newest ⇥');
    chart.onFollow((following) => (follow.hidden = following));
    this.timeframe.addEventListener('change', () => {
      settings.set({ timeframe: this.timeframe.value });
      void app.feed.bars(this.timeframe.value);
    });
    this.element = h('div.toolbar', { role: 'toolbar', 'aria-label': 'chart' }, seg, this.timeframe, toggles, this.colouring, h('div.spring'), follow);
    settings.on(() => this.show());
    app.store.on(['bars', 'history'], () => this.show());
    this.show();
  }

  private toggle(name: ZoneToggle | 'markers'): void {
    const { overlays } = this.app.settings.current;
    this.app.settings.set({ overlays: { ...overlays, [name]: !overlays[name] } });
  }

  private recolour(): void {
    const { candles } = this.app.settings.current;
    this.app.settings.set({ candles: candles === 'imbalance' ? 'direction' : 'imbalance' });
  }

  private show(): void {
    const { view, overlays, candles, timeframe } = this.app.settings.current;
    for (const [name, button] of this.views) button.setAttribute('aria-pressed', String(name === view));
    for (const [name, button] of this.overlays) {
      button.setAttribute('aria-pressed', String(overlays[name]));
      // Zones are of buckets: on klines a switch for them would do nothing.
      button.hidden = view === 'bars' && name !== 'markers';
    }
    this.colouring.hidden = view === 'bars';
    this.colouring.textContent = `Colour: ${candles}`;
    this.colouring.title = candles === 'imbalance' ? 'candles by signed imbalance' : 'candles by direction';
    const names = [...this.app.store.market.bars.keys()];
    this.timeframe.hidden = view !== 'bars' || names.length < 2;
    if ([...this.timeframe.options].map((one) => one.value).join() !== names.join()) {
      this.timeframe.replaceChildren(...names.map((name) => h('option', { value: name }, name)));
    }
    if (names.includes(timeframe)) this.timeframe.value = timeframe;
  }
}
