// @vitest-environment happy-dom
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { bindKeys, type KeyTargets } from './keys.ts';

vi.mock('./control.ts', () => ({
  closeCurrent: () => done.push('close'), togglePause: () => done.push('pause'), perform: (_app: unknown, action: string) => done.push(action),
}));

let done: string[];
bindKeys({
  chart: { host: { follow: () => done.push('follow') } },
  openHelp: () => done.push('help'), openSymbols: () => done.push('symbols'), focusBlotter: () => done.push('table'), isTerminal: () => true,
} as unknown as KeyTargets);
const press = (key: string, on: string): string[] => {
  document.querySelector(on)!.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true }));
  return done;
};

describe('keys', () => {
  beforeEach(() => {
    done = [];
    document.body.innerHTML = '<div role=grid tabindex=0><div class=row></div></div><div role=tablist><button></button></div><input>';
  });

  it.each(['.row', 'button', 'body'])('reach the terminal from %s, Kill and help among them', (on) => {
    for (const key of ['?', 'K', 'p', 'x']) press(key, on);
    expect(done).toEqual(['help', 'kill', 'pause', 'cancel-all']);
  });

  it.each([['.row', []], ['button', ['close']], ['body', ['close']]])('close the position of the chart from %s: %j', (on, wanted) => {
    expect(press('c', on)).toEqual(wanted);
  });

  it.each([['End', '.row', []], ['End', 'button', []], ['End', 'body', ['follow']], ['?', 'input', []]])(
    '%s on %s does %j: tables and tab lists move by it, fields take letters', (key, on, wanted) => expect(press(key, on)).toEqual(wanted),
  );
});
