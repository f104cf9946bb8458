import { describe, expect, it } from 'vitest';
import { Api } from '../net/api.ts';
import type { Status } from '../net/protocol.ts';
import { NotSent, type Transport } from '../net/transport.ts';
import { Link } from '../store/link.ts';
import { Store } from '../store/store.ts';
import { Commander, gradeOf, obstacle, type Action, type Circumstances } from './commands.ts';

const ALL: Action[] = ['pause', 'resume', 'close', 'cancel-all', 'flatten', 'kill', 'rearm'];
const GOOD: Circumstances = { role: 'operator', mode: 'live', connected: true, fresh: true, killed: true };
const possible = (change: Partial<Circumstances>): Action[] => ALL.filter((action) => obstacle(action, { ...GOOD, ...change }) === null);

describe('what can be done', () => {
  it('is everything for an operator with live data', () => expect(possible({})).toEqual(ALL));
  it('is Kill alone on stale data', () => expect(possible({ fresh: false })).toEqual(['kill']));
  it('is nothing without a connection', () => expect(possible({ connected: false })).toEqual([]));
  it('is nothing for a viewer', () => expect(possible({ role: 'viewer' })).toEqual([]));
  it('is nothing in a replay or a backtest', () => {
    expect([...possible({ mode: 'replay' }), ...possible({ mode: 'backtest' })]).toEqual([]);
  });
  it('is Kill alone, with the word, while the node has told nothing of itself', () => {
    expect([possible({ mode: null }), possible({ mode: null, connected: false }), gradeOf('kill', null), gradeOf('flatten', null)]).toEqual([['kill'], [], 'typed', 'typed']);
  });
  it('is no Rearm unless something is halted', () => expect(possible({ killed: false })).not.toContain('rearm'));
});

describe('confirmation', () => {
  it('is typed for what is dangerous on live', () => {
    expect(ALL.filter((action) => gradeOf(action, 'live') === 'typed')).toEqual(['flatten', 'kill', 'rearm']);
  });
  it('is typed for Kill alone on paper', () => {
    expect(ALL.filter((action) => gradeOf(action, 'paper') === 'typed')).toEqual(['kill']);
  });
  it('is a second click for Close everywhere, and nothing for Pause', () => {
    expect([gradeOf('close', 'live'), gradeOf('close', 'paper'), gradeOf('pause', 'live')]).toEqual(['click', 'click', 'none']);
  });
});

describe('commander', () => {
  function commander(ask: Transport['ask']): { commander: Commander; link: Link; store: Store } {
    const [store, link] = [new Store(() => undefined), new Link()];
    store.apply('st', { mode: 'paper', paused: [], halted: [], killed: false } as unknown as Status);
    link.frame(0, performance.now());
    return { store, link, commander: new Commander({ open: () => undefined, send: () => undefined, ask }, store, link, () => 'operator') };
  }

  it('sends each command with an id, a nonce and an expiry, and tells the result', async () => {
    const seen: Record<string, unknown>[] = [];
    const { commander: own } = commander(async <T,>(_event: string, data: unknown) => {
      seen.push(data as Record<string, unknown>);
      return { id: (data as { id: string }).id, outcome: 'done', why: 'ok', ms: 1 } as T;
    });
    const told: (string | undefined)[] = [];
    own.on((sent) => told.push(sent.result?.outcome));
    await own.send('close', { instrument: 'X' });
    await own.send('kill', {}, 'KILL');
    expect(told).toEqual([undefined, 'done', undefined, 'done']);
    expect(seen[0]).toMatchObject({ action: 'close', args: { instrument: 'X' } });
    expect(seen[0]!['expires_at']).toBeGreaterThan(Date.now());
    expect(seen[1]!['word']).toBe('KILL');
    expect(new Set(seen.flatMap((one) => [one['id'], one['nonce']])).size).toBe(4);
  });

  it('lets a command expire by the clock of the server, whatever that of this machine says', async () => {
    const server = Date.now() + 3_600_000;
    const api = new Api(async () => Response.json({}, { headers: { Date: new Date(server).toUTCString() } }));
    await api.loadSession();
    const seen: { expires_at: number }[] = [];
    const ask = async <T,>(_event: string, data: unknown): Promise<T> => {
      seen.push(data as { expires_at: number });
      return { outcome: 'done' } as T;
    };
    const own = new Commander({ open: () => undefined, send: () => undefined, ask }, new Store(() => undefined), new Link(), () => 'operator', () => api.now());
    await own.send('kill', {}, 'KILL');
    expect(Math.abs(seen[0]!.expires_at - server - 10_000)).toBeLessThan(2000);
    expect(Number.isInteger(seen[0]!.expires_at)).toBe(true);
  });

  it('says to look at the venue when no answer comes', async () => {
    const { commander: own } = commander(() => Promise.reject(new Error('timeout')));
    const sent = await own.send('pause');
    expect(sent.result).toMatchObject({ outcome: 'failed', why: expect.stringContaining('check the venue') as string });
  });

  it('never says that nothing was sent where the connection broke between sending and answer', async () => {
    const { commander: own, link } = commander(() => {
      link.lost();
      return Promise.reject(new Error('socket has been disconnected'));
    });
    expect((await own.send('close', { instrument: 'X' })).result!.why).toBe('connection lost after sending: outcome unknown, check the venue');
  });

  it('says that nothing was sent where nothing left the page', async () => {
    const { commander: own } = commander(() => Promise.reject(new NotSent('not connected')));
    expect((await own.send('close', { instrument: 'X' })).result!.why).toBe('not connected: nothing was sent');
  });
});
