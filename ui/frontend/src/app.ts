/** What every view needs, put together once. */
import type { Commander } from './actions/commands.ts';
import type { Clock } from './lib/time.ts';
import type { Api } from './net/api.ts';
import type { Feed } from './net/feed.ts';
import type { InstrumentInfo } from './net/protocol.ts';
import type { Transport } from './net/transport.ts';
import type { Link } from './store/link.ts';
import type { SettingsStore } from './store/settings.ts';
import type { Store } from './store/store.ts';
import { fixed, MISSING, placesOf } from './lib/format.ts';

export interface App {
  store: Store;
  settings: SettingsStore;
  link: Link;
  feed: Feed;
  api: Api;
  transport: Transport;
  commands: Commander;
  /** In the chosen time zone. */
  clock(): Clock;
  /** Show an instrument in the terminal, and there a moment and why something happened, where they are given. */
  show(ins: string, ms?: number, object?: string): void;
}

/** Whether the node trades at all: backtests and replays take no commands. */
export function takesCommands(app: App): boolean {
  const mode = app.store.status?.mode;
  return mode === 'live' || mode === 'paper';
}

export function instrumentInfo(app: App, ins = app.store.market.ins): InstrumentInfo | undefined {
  return app.store.status?.instruments.find((one) => one.id === ins);
}

/** Decimal places of an instrument's prices; guessed from the last price while its tick is unknown. */
export function pricePlaces(app: App, ins = app.store.market.ins): number {
  const info = instrumentInfo(app, ins);
  return info ? placesOf(Number(info.tick)) : 4;
}

/** A price in decimal text with the places of its instrument; an average of fills lies between ticks and has one more. */
export function priceText(app: App, ins: string, text: string | null): string {
  const places = pricePlaces(app, ins);
  const own = (text?.split('.')[1] ?? '').replace(/0+$/, '').length;
  return text === null ? MISSING : fixed(Number(text), Math.min(Math.max(own, places), places + 1));
}
