/** Commands: who may send which when, how they are confirmed, what became of them. */
import type { Link } from '../store/link.ts';
import type { Store } from '../store/store.ts';
import type { CommandResult, Role, Status } from '../net/protocol.ts';
import { NotSent, type Transport } from '../net/transport.ts';

export type Action = 'pause' | 'resume' | 'close' | 'cancel-all' | 'flatten' | 'kill' | 'rearm';
/** What a person does before a command leaves: nothing, a second click, or typing the word. */
export type Grade = 'none' | 'click' | 'typed';

/** A position is closed in two clicks everywhere; what frees the strategy or ends everything costs more when live. */
const GRADES: Record<Action, { paper: Grade; live: Grade }> = {
  pause: { paper: 'none', live: 'none' },
  resume: { paper: 'none', live: 'click' },
  close: { paper: 'click', live: 'click' },
  'cancel-all': { paper: 'click', live: 'click' },
  flatten: { paper: 'click', live: 'typed' },
  kill: { paper: 'typed', live: 'typed' },
  rearm: { paper: 'click', live: 'typed' },
};

export const LABELS: Record<Action, string> = {
  pause: 'Pause entries', resume: 'Resume entries', close: 'Close position', 'cancel-all': 'Cancel all', flatten: 'Flatten',
  kill: 'Kill', rearm: 'Rearm',
};

/** Whether everything is paused, and which symbols are by themselves. */
export function pauseOf(paused: string[] = []): { all: boolean; symbols: string[] } {
  const symbols = paused.filter((one) => one !== '*' && one !== '');
  return { all: symbols.length < paused.length, symbols };
}

/** The word that is typed for an action. */
export const wordOf = (action: Action): string => action.toUpperCase();
/** Of a node that is not known the worst is assumed, as the server does. */
export const gradeOf = (action: Action, mode: Status['mode'] | null): Grade => GRADES[action][mode === 'live' || mode === null ? 'live' : 'paper'];

/** Closing waits for its fills (5 s at the node); the answer must have time to come. */
const ANSWER_MS = 12_000;
const LIFE_MS = 10_000;

export interface Circumstances {
  role: Role;
  mode: Status['mode'] | null;
  connected: boolean;
  fresh: boolean;
  killed: boolean;
}

/** Why an action cannot be used now; null if it can. */
export function obstacle(action: Action, now: Circumstances): string | null {
  if (now.role !== 'operator') return 'viewers cannot act';
  if (now.mode === 'replay' || now.mode === 'backtest') return 'nothing trades here';
  if (!now.connected) return 'not connected';
  // A node that hangs may tell nothing of itself, and hear a Kill all the same.
  if (now.mode === null) return action === 'kill' ? null : 'the node is not known yet: only Kill is left';
  if (action === 'rearm') return now.killed ? staleness(now) : 'nothing is halted';
  return action === 'kill' ? null : staleness(now);
}

const staleness = (now: Circumstances): string | null => (now.fresh ? null : 'data are stale: only Kill is left');

/** A command sent from here, with its result once it is known. */
export interface Sent {
  id: string;
  action: Action;
  ins: string | null;
  at: number;
  result: CommandResult | null;
}

export class Commander {
  readonly sent: Sent[] = [];
  private readonly listeners: ((sent: Sent) => void)[] = [];
  private readonly transport: Transport;
  private readonly store: Store;
  private readonly link: Link;
  private readonly role: () => Role;
  /** UNIX milliseconds by the server's clock: it judges whether a command has expired. */
  private readonly now: () => number;

  constructor(transport: Transport, store: Store, link: Link, role: () => Role, now: () => number = Date.now) {
    this.transport = transport;
    this.store = store;
    this.link = link;
    this.role = role;
    this.now = now;
  }

  on(listener: (sent: Sent) => void): void {
    this.listeners.push(listener);
  }

  obstacle(action: Action): string | null {
    const { status } = this.store;
    return obstacle(action, {
      role: this.role(),
      mode: status?.mode ?? null,
      connected: this.link.connected,
      fresh: this.link.freshness(performance.now()) === 'live',
      killed: Boolean(status?.killed || status?.halted.length),
    });
  }

  /** Send it once; what the screen shows of orders and positions changes only by what the node says then. */
  async send(action: Action, args: Record<string, unknown> = {}, word?: string): Promise<Sent> {
    const sent: Sent = { id: randomId(), action, ins: (args['instrument'] as string | undefined) ?? null, at: Date.now(), result: null };
    this.sent.push(sent);
    this.tell(sent);
    const started = performance.now();
    try {
      const command = { id: sent.id, action, args, nonce: randomId(), expires_at: Math.round(this.now()) + LIFE_MS, ...(word ? { word } : {}) };
      const answer = await this.transport.ask<CommandResult>('cmd', command, ANSWER_MS);
      sent.result = { ...answer, ms: performance.now() - started };
    } catch (error) {
      const why = error instanceof NotSent ? 'not connected: nothing was sent' : this.unanswered();
      sent.result = { id: sent.id, outcome: 'failed', why, ms: performance.now() - started };
    }
    this.tell(sent);
    return sent;
  }

  /** It was sent, and may have been done: a person who sends it again should look first. */
  private unanswered(): string {
    if (this.link.connected) return `no answer within ${ANSWER_MS / 1000} s: outcome unknown, check the venue`;
    return 'connection lost after sending: outcome unknown, check the venue';
  }

  private tell(sent: Sent): void {
    for (const listener of this.listeners) listener(sent);
  }
}

/** 128 random bits in hex; `crypto.randomUUID` is missing where there is no TLS. */
export function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
