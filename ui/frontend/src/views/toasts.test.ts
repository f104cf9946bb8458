// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import type { Sent } from '../actions/commands.ts';
import { Store } from '../store/store.ts';
import { Toasts } from './toasts.ts';

describe('toasts', () => {
  it('forgets those that make room, and shows one of them anew when it is answered', () => {
    let tell!: (sent: Sent) => void;
    const app = { store: new Store(() => undefined), commands: { on: (listener: typeof tell) => (tell = listener) } } as unknown as App;
    const toasts = new Toasts(app);
    const sent = (id: string): Sent => ({ id, action: 'pause', ins: null, at: 0, result: null });
    for (let number = 0; number < 8; number += 1) tell(sent(String(number)));
    expect(toasts.element.childElementCount).toBe(5);
    expect((toasts as unknown as { open: Map<string, unknown> }).open.size).toBe(5);
    tell({ ...sent('0'), result: { id: '0', outcome: 'failed', why: 'no answer', ms: 1 } });
    expect(toasts.element.lastElementChild!.textContent).toContain('no answer');
  });
});
