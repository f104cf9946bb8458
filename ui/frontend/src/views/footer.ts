/** Last line: versions, time, and whose chart library this is. */
import type { App } from '../app.ts';
import { h, setText } from '../lib/dom.ts';

const SECOND_MS = 1000;

export function footer(app: App): HTMLElement {
  const clock = h('span.num');
  const node = h('span.muted');
  const user = h('span.muted');
  const tell = (): void => {
    setText(clock, `${app.clock().time(Date.now())} ${app.clock().zone}`);
    const { session } = app.api;
    setText(user, session ? `${session.user} (${session.role})` : '');
  };
  setInterval(tell, SECOND_MS);
  tell();
  app.store.on(['status', 'latency'], () => {
    const { status, latency, tickAgeMs } = app.store;
    const parts = [status?.version && `node ${status.version}`, status?.config_hash && `settings ${status.config_hash.slice(0, 8)}`];
    if (latency?.loop_lag_ms !== null && latency) parts.push(`loop ${latency.loop_lag_ms.toFixed(1)} ms`);
    if (tickAgeMs !== null) parts.push(`last trade ${(tickAgeMs / 1000).toFixed(1)} s ago`);
    setText(node, parts.filter(Boolean).join(' · '));
  });
  const link = h('a', { href: 'https://www.tradingview.com/', target: '_blank', rel: 'noopener noreferrer' }, 'TradingView');
  return h('footer.footer', {}, clock, user, node, h('div.spring'), h('span.muted.attribution', {}, 'Charts: Lightweight Charts™ © ', link, ' · ', h('a', { href: '/licenses.md', target: '_blank' }, 'licences')));
}
