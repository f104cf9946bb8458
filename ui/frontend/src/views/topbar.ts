/** First line: where we are, in which mode, how alive it is, and settings. */
import type { App } from '../app.ts';
import { ageText, setTextOf } from './pieces.ts';
import { h, icon, setClass, setData, setText } from '../lib/dom.ts';
import type { Status } from '../net/protocol.ts';

const BADGES = { live: 'DATA LIVE', stale: 'STALE', none: 'NO DATA' } as const;
const MODES: Record<Status['mode'], string> = { live: 'LIVE', paper: 'PAPER', backtest: 'BACKTEST', replay: 'REPLAY' };
const GEAR = 'M6.8 1.5h2.4l.3 1.9 1.3.7 1.8-.7 1.2 2.1-1.5 1.2v1.5l1.5 1.2-1.2 2.1-1.8-.7-1.3.7-.3 1.9H6.8l-.3-1.9-1.3-.7-1.8.7-1.2-2.1 1.5-1.2V6.7L2.2 5.5l1.2-2.1 1.8.7 1.3-.7zM8 5.9a2.1 2.1 0 1 0 0 4.2 2.1 2.1 0 0 0 0-4.2z';
const HELP = 'M5.8 6a2.2 2.2 0 1 1 3.3 1.9c-.7.4-1.1.8-1.1 1.6M8 12v.6';
const LOGO = 'M3 11V7M3 13v-2M6.3 9V3M6.3 12.500V9M9.700 13V8M9.700 8V5M13 10V4M13 11.500V10';
export const PAGES = ['terminal', 'overview', 'backtests', 'models', 'journal'] as const;
export type PageName = (typeof PAGES)[number];

export class TopBar {
  readonly element: HTMLElement;
  private readonly app: App;
  private readonly mode = h('span.mode', { role: 'status' }, '…');
  private readonly badge = h('span.badge', { role: 'status', 'data-freshness': 'none' }, h('i.dot'), h('b'), h('span.num.age'));
  private readonly links = new Map<PageName, HTMLElement>();
  private readonly session = h('span.session.muted');

  constructor(app: App, openSettings: () => void, openHelp: () => void) {
    this.app = app;
    const nav = h('nav.pages', { 'aria-label': 'pages' });
    for (const page of PAGES) {
      const link = h('a', { href: `#/${page}` }, page[0]!.toUpperCase() + page.slice(1));
      this.links.set(page, link);
      nav.append(link);
    }
    this.element = h(
      'header.topbar', {},
      h('a.brand', { href: '#/terminal', 'aria-label': 'smcbot terminal' }, icon(LOGO), h('span', {}, 'smcbot')),
      nav, h('div.spring'), this.session, this.badge, this.mode,
      h('button.btn.ghost', { title: 'keys (?)', 'aria-label': 'keyboard help', onclick: openHelp }, icon(HELP)),
      h('button.btn.ghost', { title: 'settings', 'aria-label': 'settings', onclick: openSettings }, icon(GEAR)),
    );
    app.store.on(['status'], () => this.showStatus());
  }

  setPage(page: PageName): void {
    for (const [name, link] of this.links) {
      if (name === page) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
  }

  /** Called by a clock and by the handler of a lost connection alike. */
  showLink(nowMs: number): void {
    const { link } = this.app;
    const freshness = link.freshness(nowMs);
    setData(this.badge, 'freshness', freshness);
    const isFeedDead = link.isFeedDead(nowMs);
    const isPlayed = this.app.store.status?.mode === 'replay';
    const text = isFeedDead ? 'FEED STALE' : isPlayed && freshness === 'live' ? 'CONNECTED' : BADGES[freshness];
    setText(this.badge.children[1]!, link.connected || freshness === 'none' ? text : 'OFFLINE');
    const [heard, feed] = [link.age(nowMs), link.feedAge(nowMs)];
    const age = isFeedDead ? feed! : heard;
    setTextOf(this.badge, '.age', Number.isFinite(age) ? ageText(age) : '');
    this.badge.title = `the node's last message is ${Number.isFinite(heard) ? ageText(heard) : 'unknown'} old, its newest trade ${feed === null ? 'unknown' : ageText(feed)}`;
  }

  private showStatus(): void {
    const { status } = this.app.store;
    if (!status) return;
    setText(this.mode, MODES[status.mode]);
    setClass(this.mode, `mode mode-${status.mode}`);
    document.documentElement.dataset['mode'] = status.mode;
    setText(this.session, [status.trader, status.session].filter(Boolean).join(' · '));
    this.session.title = `settings ${status.config_hash}`;
    document.title = `${MODES[status.mode]} · smcbot`;
  }
}
