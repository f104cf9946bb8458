/** Short tones for what a person should hear; off unless switched on. */
import type { App } from '../app.ts';

const TONES = { fill: [660, 880], reject: [330, 220], stale: [440, 440] } as const;
const TONE_SECS = 0.09;
const VOLUME = 0.06;

export class Sound {
  private context: AudioContext | null = null;
  private readonly app: App;

  constructor(app: App) {
    this.app = app;
    app.store.watch((kind, payload) => {
      if (kind === 'fill') this.play('fill');
      else if (kind === 'ord' && 'status' in payload && payload.status === 'REJECTED') this.play('reject');
    });
  }

  play(name: keyof typeof TONES): void {
    if (!this.app.settings.current.sound) return;
    this.context ??= new AudioContext();
    const { context } = this;
    TONES[name].forEach((frequency, index) => {
      const [tone, gain] = [context.createOscillator(), context.createGain()];
      const start = context.currentTime + index * TONE_SECS;
      tone.frequency.value = frequency;
      gain.gain.setValueAtTime(VOLUME, start);
      gain.gain.exponentialRampToValueAtTime(0.0001, start + TONE_SECS);
      tone.connect(gain).connect(context.destination);
      tone.start(start);
      tone.stop(start + TONE_SECS);
    });
  }
}
