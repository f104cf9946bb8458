/** The frame around all pages: it puts the parts together, keeps the clock, and switches pages. */
import type { App } from './app.ts';
import { Commander } from './actions/commands.ts';
import { bindKeys } from './actions/keys.ts';
import { h } from './lib/dom.ts';
import { Clock } from './lib/time.ts';
import { ApiError, type Api } from './net/api.ts';
import { Feed } from './net/feed.ts';
import type { Transport } from './net/transport.ts';
import { Link, type Freshness } from './store/link.ts';
import { SettingsStore } from './store/settings.ts';
import { Store } from './store/store.ts';
import type { Page } from './pages/page.ts';
import { Banner } from './views/banner.ts';
import { openHelp, openSettings } from './views/dialogs.ts';
import { footer } from './views/footer.ts';
import { Sound } from './views/sound.ts';
import { openSymbols } from './views/symbols.ts';
import { TerminalPage } from './views/terminal.ts';
import { Toasts } from './views/toasts.ts';
import { PAGES, TopBar, type PageName } from './views/topbar.ts';

/** Staleness shows without messages: that is when none come. */
const TICK_MS = 250;

export interface Shell {
  app: App;
  element: HTMLElement;
  connect(): void;
}

/** Build everything; `open` makes the transport, asked for the chosen instrument at each connection. */
export function start(api: Api, open: (ins: () => string) => Transport): Shell {
  const settings = new SettingsStore(localStorage);
  const store = new Store(() => requestAnimationFrame(() => store.flush()), settings.current.ins);
  const link = new Link();
  const transport = open(() => store.market.ins);
  const feed = new Feed(transport, store, link, api);
  const commands = new Commander(transport, store, link, () => api.session?.role ?? feed.role, () => api.now());
  let clock = new Clock(settings.current.zone);
  const app: App = {
    store, settings, link, feed, api, transport, commands,
    clock: () => clock,
    show: (ins, ms, object) => show(app, terminal, ins, ms, object),
  };
  applyTheme(settings);
  settings.on((now) => {
    if (now.zone !== clock.zone) clock = new Clock(now.zone);
    applyTheme(settings);
  });

  const terminal = new TerminalPage(app);
  const banner = new Banner(app);
  const topbar = new TopBar(app, () => openSettings(app, () => void logOut(api, (path) => location.assign(path), (why) => alert(why))), openHelp);
  const pages = new Pages(app, terminal, topbar);
  const sound = new Sound(app);
  const element = h('div.shell', {}, topbar.element, banner.element, pages.element, footer(app), new Toasts(app).element);

  let freshness: Freshness = 'none';
  const tick = (): void => {
    const now = performance.now();
    topbar.showLink(now);
    banner.show(now);
    terminal.bar.showActions();
    if (freshness === 'live' && link.freshness(now) !== 'live') sound.play('stale');
    if (freshness !== link.freshness(now)) store.touch('link');
    freshness = link.freshness(now);
  };
  setInterval(tick, TICK_MS);
  store.on(['link'], () => link.connected || tick());
  bindKeys({
    app, chart: terminal.chart, openHelp,
    openSymbols: () => openSymbols(app),
    focusBlotter: () => terminal.dock.focus(),
    isTerminal: () => pages.current === 'terminal',
  });
  return {
    app, element,
    connect: () => feed.start((reason) => reason === 'auth' && location.assign('/login')),
  };
}

function applyTheme(settings: SettingsStore): void {
  const { theme, palette } = settings.current;
  document.documentElement.dataset['theme'] = theme;
  document.documentElement.dataset['palette'] = palette;
}

function show(app: App, terminal: TerminalPage, ins: string, ms?: number, object?: string): void {
  const isOther = ins !== app.store.market.ins;
  if (isOther) {
    app.settings.remember({ ins });
    if (ms !== undefined) terminal.chart.revealOf(ins, ms);
    app.feed.view(ins);
  } else if (ms !== undefined) terminal.chart.reveal(ms);
  // What is told of one instrument says nothing about the next.
  if (object || isOther) terminal.pick(object ?? null);
  location.hash = '#/terminal';
}

/** To the login page only where the session has ended: else the next person finds it open. */
export async function logOut(api: Api, go: (path: string) => void, failed: (why: string) => void): Promise<void> {
  try {
    await api.post('/logout');
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 401)) return failed(`You are still logged in: ${String(error)}`);
  }
  go('/login');
}

/** One page at a time; the terminal stays as it is while another one is shown. */
class Pages {
  readonly element = h('div.page-host');
  current: PageName = 'terminal';
  private readonly app: App;
  private readonly terminal: TerminalPage;
  private readonly topbar: TopBar;
  private page: Page | null = null;

  constructor(app: App, terminal: TerminalPage, topbar: TopBar) {
    this.app = app;
    this.terminal = terminal;
    this.topbar = topbar;
    this.element.append(terminal.element);
    window.addEventListener('hashchange', () => void this.open());
    void this.open();
  }

  private async open(): Promise<void> {
    const wanted = location.hash.slice(2).split('/')[0] as PageName;
    const name = PAGES.includes(wanted) ? wanted : 'terminal';
    const isSame = name === this.current && this.page !== null;
    this.current = name;
    this.topbar.setPage(name);
    if (isSame) return;
    this.page?.leave();
    this.page?.element.remove();
    this.page = null;
    this.terminal.element.hidden = name !== 'terminal';
    if (name === 'terminal') return;
    const pages = await import('./pages/pages.ts');
    if (this.current !== name) return;
    this.page = pages[name](this.app);
    this.element.append(this.page.element);
  }
}
