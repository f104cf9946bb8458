/** Plays a recording: pause, speed, scrub. Shown only while the server replays. */
import type { App } from '../app.ts';
import { h, setText } from '../lib/dom.ts';
import type { ReplayState } from '../net/protocol.ts';

const SPEEDS = [1, 5, 20, 60, 300, 1000, 10_000];
const STEPS = 10_000;

export class ReplayBar {
  readonly element: HTMLElement;
  private readonly app: App;
  private readonly play = h<HTMLButtonElement>('button.btn', { onclick: () => this.toggle() });
  private readonly speed = h<HTMLSelectElement>('select.field', { 'aria-label': 'speed' }, ...SPEEDS.map(speedOption));
  private readonly slider = h<HTMLInputElement>('input.scrub', { type: 'range', min: 0, max: STEPS, 'aria-label': 'moment of the recording' });
  private readonly at = h('span.num');
  private readonly to = h('span.num.muted');
  private scrubbing = false;

  constructor(app: App) {
    this.app = app;
    this.element = h('div.replay', { role: 'group', 'aria-label': 'replay', hidden: true }, this.play, this.speed, this.at, this.slider, this.to);
    this.speed.addEventListener('change', () => this.steer({ speed: Number(this.speed.value) }));
    this.slider.addEventListener('input', () => {
      this.scrubbing = true;
      const state = this.state();
      if (state) setText(this.at, this.app.clock().stamp(this.moment(state)));
    });
    this.slider.addEventListener('change', () => {
      this.scrubbing = false;
      const state = this.state();
      if (state) this.steer({ seek_to: Math.round(this.moment(state)) });
    });
    app.store.on(['status'], () => this.show());
  }

  private state(): ReplayState | null {
    return this.app.store.status?.replay ?? null;
  }

  private moment(state: ReplayState): number {
    return state.from + (Number(this.slider.value) / STEPS) * (state.to - state.from);
  }

  private toggle(): void {
    const state = this.state();
    if (state) this.steer({ paused: !state.paused });
  }

  private steer(wish: Record<string, unknown>): void {
    this.app.transport.send('replay', wish);
  }

  /** A speed that was given on the command line need not be one of ours. */
  private showSpeed(speed: number): void {
    if (![...this.speed.options].some((option) => Number(option.value) === speed)) this.speed.append(speedOption(speed));
    this.speed.value = String(speed);
  }

  private show(): void {
    const state = this.state();
    this.element.hidden = !state;
    if (!state) return;
    setText(this.play, state.paused ? '▶ Play' : '❚❚ Pause');
    if (document.activeElement !== this.speed) this.showSpeed(state.speed);
    setText(this.to, this.app.clock().stamp(state.to));
    if (this.scrubbing) return;
    setText(this.at, this.app.clock().stamp(state.at));
    const share = state.to > state.from ? (state.at - state.from) / (state.to - state.from) : 0;
    this.slider.value = String(Math.round(share * STEPS));
    this.slider.setAttribute('aria-valuetext', this.app.clock().stamp(state.at));
  }
}

function speedOption(speed: number): HTMLElement {
  return h('option', { value: speed }, `${speed}x`);
}
