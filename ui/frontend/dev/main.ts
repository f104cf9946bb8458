/** The terminal over the fixture; the query says how large and how fast: ?buckets=100000&rate=50&zones=400. */
import type { Status } from '../src/net/protocol.ts';
import { Api } from '../src/net/api.ts';
import { zoneBoxes } from '../src/chart/annotations.ts';
import { start } from '../src/shell.ts';
import { FakeServer } from './transport.ts';

const query = new URLSearchParams(location.search);
const number = (name: string, fallback: number): number => Number(query.get(name) ?? fallback);
const begun = performance.now();
const server = new FakeServer({
  mode: (query.get('mode') ?? 'paper') as Status['mode'],
  role: query.get('role') === 'viewer' ? 'viewer' : 'operator',
  buckets: number('buckets', 4000),
  zones: number('zones', 120),
  rate: number('rate', 10),
  instruments: number('instruments', 120),
});
/** The session is made up in this page; a server has it already. */
const madeMs = performance.now() - begun;
const api = new Api(server.fetch);
await api.loadSession();
const shell = start(api, () => server);
/** Boxes that the chart is given to paint: living zones of a type are drawn up to a number. */
const drawnZones = (): number => {
  const { store, settings } = shell.app;
  return zoneBoxes(store, store.market.ins, settings.current.overlays, { row: () => 0, close: () => 0, end: () => 0 }).length;
};
// What the benchmark reads and does.
const bench = { flushes: 0, madeMs, rows: () => shell.app.store.market.buckets.columns.length, older: () => shell.app.feed.older(), burst: (count: number) => server.burst(count), drawnZones, app: shell.app };
const { flush } = shell.app.store;
shell.app.store.flush = () => {
  bench.flushes += 1;
  flush.call(shell.app.store);
};
Object.assign(window, { bench });
document.body.append(shell.element);
shell.connect();
