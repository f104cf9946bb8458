/** One line over everything when something is wrong: no connection, stale, killed, held, paused. */
import type { App } from '../app.ts';
import { h, setClass, setText } from '../lib/dom.ts';
import { symbolOf, words } from '../lib/format.ts';
import { ageText } from './pieces.ts';

const REFUSALS: Record<string, string> = {
  full: 'the terminal has no place for one more browser of yours; trying again',
  host: 'the server does not answer to this host name',
  origin: 'the server does not answer to pages of this origin',
  proto: 'this page is older than the server: reload it',
  auth: 'the session has ended: log in again',
};

type Notice = [tone: 'bad' | 'warn' | 'info', text: string];

export class Banner {
  readonly element = h('div.banner', { role: 'alert', hidden: true });
  private readonly app: App;

  constructor(app: App) {
    this.app = app;
    app.store.on(['status', 'link'], () => this.show(performance.now()));
  }

  show(nowMs: number): void {
    const notice = this.notice(nowMs);
    this.element.hidden = !notice;
    if (!notice) return;
    setClass(this.element, `banner ${notice[0]}`);
    setText(this.element, notice[1]);
  }

  private notice(nowMs: number): Notice | null {
    const { link, store } = this.app;
    if (!link.connected) {
      const reason = link.refusal ? (REFUSALS[link.refusal] ?? link.refusal) : 'trying again by itself';
      return ['bad', `No connection to the terminal's server — what you see may be old; ${reason}`];
    }
    const freshness = link.freshness(nowMs);
    if (link.isFeedDead(nowMs)) return ['bad', `No trade has come from the venue for ${ageText(link.feedAge(nowMs)!)} — only Kill is possible`];
    if (freshness !== 'live') {
      const age = link.age(nowMs);
      if (store.status?.mode === 'replay') return ['info', 'The recording is being read'];
      return ['bad', `The node has said nothing for ${Number.isFinite(age) ? ageText(age) : 'long'} — only Kill is possible`];
    }
    const said = this.state();
    if (!link.warning) return said;
    const warning = `What is done here is not written down: ${link.warning}`;
    return ['bad', said ? `${said[1]} — ${warning}` : warning];
  }

  /** What the node says of itself: a trouble of the terminal must not stand before it. */
  private state(): Notice | null {
    const { status } = this.app.store;
    if (!status) return null;
    if (status.killed) return ['bad', `Killed${status.kill_reason ? `: ${words(status.kill_reason)}` : ''} — no entries until Rearm`];
    if (status.halted.length) return ['bad', `Entries are halted: ${status.halted.map(named).join(', ')}`];
    if (status.paused.length) return ['warn', `Entries are paused: ${status.paused.map(named).join(', ')}; stops and targets go on`];
    if (status.holds.length) {
      const [first] = status.holds;
      const more = status.holds.length > 1 ? ` and ${status.holds.length - 1} more` : '';
      return ['info', `Entries are held by ${words(first!.source)}: ${words(first!.reason)}${first!.ins ? ` (${symbolOf(first!.ins)})` : ''}${more}`];
    }
    return null;
  }
}

const named = (text: string): string => (text === '*' || text === '' ? 'everywhere' : symbolOf(text));
