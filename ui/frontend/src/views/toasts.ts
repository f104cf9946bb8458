/** What became of a command, with its latency; and rejections, which nobody asked about. */
import type { App } from '../app.ts';
import { LABELS, type Sent } from '../actions/commands.ts';
import { h, replace } from '../lib/dom.ts';
import { symbolOf, words } from '../lib/format.ts';

const SHOWN_MS = 6000;
const FAILED_MS = 20_000;
const MAX_TOASTS = 5;

export class Toasts {
  readonly element = h('div.toasts', { role: 'log', 'aria-live': 'assertive' });
  private readonly open = new Map<string, HTMLElement>();

  constructor(app: App) {
    app.commands.on((sent) => this.command(sent));
    app.store.watch((kind, payload) => {
      if (kind === 'ord' && 'coid' in payload && 'status' in payload && payload.status === 'REJECTED') {
        this.show(payload.coid, 'down', `${symbolOf(payload.ins)} ${payload.role} rejected`, words(payload.reason ?? ''), FAILED_MS);
      }
    });
  }

  private command(sent: Sent): void {
    const title = `${LABELS[sent.action]}${sent.ins ? ` ${symbolOf(sent.ins)}` : ''}`;
    const { result } = sent;
    if (!result) return this.show(sent.id, 'accent', title, 'sent, waiting for the node …', 0);
    const tone = { done: 'up', refused: 'warn', failed: 'down' }[result.outcome];
    const text = `${result.outcome} in ${Math.round(result.ms)} ms${result.why ? ` — ${result.why}` : ''}`;
    this.show(sent.id, tone, title, text, result.outcome === 'done' ? SHOWN_MS : FAILED_MS);
  }

  /** Show or change a toast; `ms` 0 leaves it until it changes. */
  private show(id: string, tone: string, title: string, text: string, ms: number): void {
    let toast = this.open.get(id);
    if (!toast) {
      toast = h('div.toast');
      this.open.set(id, toast);
      this.element.append(toast);
      for (const oldest of [...this.open.keys()].slice(0, -MAX_TOASTS)) this.drop(oldest);
    }
    toast.className = `toast ${tone}`;
    const close = h('button.toast-close', { 'aria-label': 'dismiss', onclick: () => this.drop(id) }, '×');
    replace(toast, h('strong', {}, title), h('span', {}, text), close);
    if (ms) setTimeout(() => this.drop(id), ms);
  }

  private drop(id: string): void {
    this.open.get(id)?.remove();
    this.open.delete(id);
  }
}
