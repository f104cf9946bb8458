// @vitest-environment happy-dom
import { beforeEach, describe, expect, it } from 'vitest';
import { ask } from './dialog.ts';

const button = (text: string): HTMLButtonElement => [...document.querySelectorAll('button')].find((one) => one.textContent === text)!;

describe('question', () => {
  beforeEach(() => document.body.replaceChildren());

  it('has its focus on Back and says what will happen', async () => {
    const answer = ask({ title: 'Flatten', effects: ['Close at market: X'], confirm: 'Flatten', danger: true });
    expect(document.activeElement).toBe(button('Back'));
    expect(document.querySelector('.effects')!.textContent).toContain('Close at market: X');
    button('Back').click();
    expect(await answer).toBe(false);
    expect(document.querySelector('dialog')).toBeNull();
  });

  it('is sent by the button that confirms alone', () => {
    void ask({ title: 'Pause', effects: [], confirm: 'Pause', danger: false });
    expect(['Pause', 'Back'].map((text) => button(text).type)).toEqual(['submit', 'button']);
  });

  it('is answered no when the dialog is closed in any way', async () => {
    const answer = ask({ title: 'Close', effects: [], confirm: 'Close', danger: false });
    document.querySelector('dialog')!.close();
    expect(await answer).toBe(false);
  });

  it('is answered yes by the button', async () => {
    const answer = ask({ title: 'Close', effects: [], confirm: 'Close position', danger: false });
    document.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }));
    expect(await answer).toBe(true);
  });

  it('wants the word exactly before it can be confirmed', async () => {
    const answer = ask({ title: 'Kill', effects: [], confirm: 'Kill', danger: true, word: 'KILL' });
    const input = document.querySelector('input')!;
    const type = (text: string): boolean => {
      input.value = text;
      input.dispatchEvent(new Event('input'));
      return button('Kill').disabled;
    };
    expect(['', 'kill', 'KILLL', 'KILL'].map(type)).toEqual([true, true, true, false]);
    type('KIL');
    document.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }));
    expect(document.querySelector('dialog')).not.toBeNull();
    type('KILL');
    document.querySelector('form')!.dispatchEvent(new Event('submit', { cancelable: true }));
    expect(await answer).toBe(true);
  });
});
