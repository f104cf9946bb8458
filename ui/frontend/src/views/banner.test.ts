// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import { Banner } from './banner.ts';

const shown = (status: object, warning: string | null): string => {
  const link = { connected: true, warning, freshness: () => 'live', isFeedDead: () => false };
  const app = { store: { status, on: () => undefined }, link } as unknown as App;
  const banner = new Banner(app);
  banner.show(0);
  return banner.element.textContent ?? '';
};

describe('the banner', () => {
  const calm = { mode: 'paper', killed: false, kill_reason: '', halted: [], paused: [], holds: [] };

  it('says that the node is killed though the audit is not written, and both', () => {
    const text = shown({ ...calm, killed: true }, 'no space left');
    expect(text).toMatch(/^Killed.*not written down: no space left$/);
    expect(shown(calm, 'no space left')).toMatch(/^What is done here is not written down/);
    expect(shown(calm, null)).toBe('');
  });
});
