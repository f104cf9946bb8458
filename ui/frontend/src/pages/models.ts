/** Models: what each says of itself, how it did since, and whether its inputs drift. */
import type { App } from '../app.ts';
import { h, replace } from '../lib/dom.ts';
import { fixed, percent, signed, symbolOf, verdictTone, words } from '../lib/format.ts';
import { every, fill, section, type Page } from './page.ts';
import { facts, reliability, scopeTag, shareBars, tiles, type Scope } from './parts.ts';

const REFRESH_MS = 10_000;
/** Of what is served here, the newest; a backtest or the other mode says nothing of it. */
const ROWS = { mode: 'served', limit: 1000 };
const BINS = 10;

interface TradeRow {
  session_id: string;
  setup_id: string;
  r_multiple: number | null;
}
interface DecisionRow {
  session_id: string;
  setup_id: string;
  probability: number | null;
}
interface CancelRow {
  /** An entry taken back has a row when it is asked for, one of the venue's answer, one of what it would have become. */
  step: 'asked' | 'venue' | 'shadow';
  probability: number | null;
  outcome: string;
  net_r: number | null;
}
interface Passport {
  kind: string;
  verdict: string;
  reasons: string[];
  symbols: string[];
  features: string[];
  metrics: Record<string, unknown> & { reliability: { predicted: number; observed: number; n: number }[] };
}
interface ModelInfo {
  name: string;
  error: string | null;
  passport: Partial<Passport> & Record<string, unknown>;
}

export function open(app: App): Page {
  const loaded = h('div.cards');
  const passports = h('div.cards');
  const kept = h('div');
  const cancelled = h('div');
  const stop = every(REFRESH_MS, () => {
    drawLoaded(app, loaded);
    void fill(kept, judged(app), ({ bins, of, setups }) => [scopeTag(of, app.clock()), ...keptParts(bins, setups)]);
    void fill(cancelled, app.api.get<{ cancels: CancelRow[]; of: Scope }>('/api/v1/cancels', ROWS), ({ cancels, of }) => [scopeTag(of, app.clock()), ...ledgerParts(cancels)]);
  });
  void fill(passports, app.api.get<{ models: ModelInfo[] }>('/api/v1/models'), ({ models }) => (models.length ? models.map(passportCard) : [h('p.muted', {}, 'no model in the folder of models')]));
  const element = h(
    'main.page', {}, h('h1', {}, 'Models'), section('In use', loaded),
    h('div.columns', {}, section('Reliability of entries that were kept', kept), section('What cancelled entries would have done', cancelled)),
    section('Passports', passports),
  );
  return { element, leave: stop };
}

const DRIFTS: Record<string, [tone: string, text: string]> = {
  waiting: ['muted', 'too few buckets yet'], ok: ['up', 'none seen'], warn: ['warn', 'look'], alarm: ['down', 'alarm'],
};

/** Tone and words of the worst state of the inputs. */
export function driftTag(state: string | null): [tone: string, text: string] {
  return state === null || state === '' ? ['muted', 'not watched'] : (DRIFTS[state] ?? ['warn', 'look']);
}

function drawLoaded(app: App, target: HTMLElement): void {
  const { status } = app.store;
  if (!status?.models.length) return replace(target, h('p.muted', {}, 'no model decides here'));
  const cards = status.models.map((model) =>
    h('div.card', {}, h('div.card-head', {}, h('strong', {}, model.ins === '*' ? 'All symbols' : symbolOf(model.ins)), h(`span.tag.${verdictTone(model.verdict)}`, {}, words(model.verdict))), facts({ threshold: model.threshold, digest: model.digest })),
  );
  const isKnown = status.drift !== null && status.drift in DRIFTS;
  const [tone, text] = driftTag(status.drift);
  const drift = h('div.card', {}, h('div.card-head', {}, h('strong', {}, 'Drift of inputs'), h(`span.tag.${tone}`, {}, text)), h('p.why', { hidden: isKnown || !status.drift }, status.drift ?? ''));
  replace(target, ...cards, drift);
}

interface Bin {
  p: number;
  rate: number;
  count: number;
}

/** The last probability of each traded setup against whether it won; two sessions may have a setup of the same id. */
async function judged(app: App): Promise<{ bins: Bin[]; of: Scope; setups: number }> {
  const [{ trades, of }, { decisions }] = await Promise.all([
    app.api.get<{ trades: TradeRow[]; of: Scope }>('/api/v1/trades', ROWS),
    app.api.get<{ decisions: DecisionRow[] }>('/api/v1/decisions', { ...ROWS, kind: 'cancel_asked' }),
  ]);
  const keyOf = ({ session_id, setup_id }: TradeRow | DecisionRow): string => `${session_id} ${setup_id}`;
  const asked = new Map<string, number>();
  // Newest first: the last answer counts.
  for (const one of decisions) if (one.probability !== null && !asked.has(keyOf(one))) asked.set(keyOf(one), one.probability);
  const pairs = trades.flatMap((one): [number, boolean][] => {
    const p = asked.get(keyOf(one));
    return p === undefined || one.r_multiple === null ? [] : [[p, one.r_multiple > 0]];
  });
  return { bins: binned(pairs), of, setups: asked.size };
}

export function binned(pairs: [number, boolean][]): Bin[] {
  const bins = Array.from({ length: BINS }, () => ({ sum: 0, won: 0, count: 0 }));
  for (const [p, isWon] of pairs) {
    const bin = bins[Math.min(BINS - 1, Math.floor(p * BINS))]!;
    bin.sum += p;
    bin.won += Number(isWon);
    bin.count += 1;
  }
  return bins.filter((bin) => bin.count).map(({ sum, won, count }) => ({ p: sum / count, rate: won / count, count }));
}

/** A setup is asked about at many buckets: the newest answers are of few setups, which `setups` tells. */
function keptParts(bins: Bin[], setups: number): HTMLElement[] {
  const count = bins.reduce((sum, bin) => sum + bin.count, 0);
  if (!count) return [h('p.muted', {}, 'no closed trade yet about which a model was asked')];
  const error = bins.reduce((sum, bin) => sum + Math.abs(bin.p - bin.rate) * bin.count, 0) / count;
  return [h('div.tiles', {}, ...tiles([['Trades', fixed(count, 0)], ['Mean distance from the line', percent(error)]])), reliability(bins), h('p.muted.small', {}, `of the ${setups} setups about which a model was asked last`)];
}

function ledgerParts(rows: CancelRow[]): HTMLElement[] {
  const cancels = rows.filter((row) => row.step === 'shadow');
  const known = cancels.filter((row) => row.net_r !== null);
  const asked = rows.filter((row) => row.step === 'asked').length;
  if (!rows.length) return [h('p.muted', {}, 'no entry was taken back yet')];
  const counts = new Map<string, number>();
  for (const { outcome } of cancels) counts.set(words(outcome || 'open'), (counts.get(words(outcome || 'open')) ?? 0) + 1);
  const sum = known.reduce((total, row) => total + row.net_r!, 0);
  const figures = tiles([['Cancelled', fixed(asked, 0)], ['Would have filled', fixed(known.length, 0)], ['Spared', `${signed(-sum, 1)} R`, -sum]]);
  return [h('div.tiles', {}, ...figures), shareBars([...counts].sort((a, b) => b[1] - a[1]))];
}

function passportCard({ name, error, passport }: ModelInfo): HTMLElement {
  if (error !== null) return h('div.card', {}, h('div.card-head', {}, h('strong', {}, name), h('span.tag.down', {}, 'refused')), h('p.why', {}, error));
  const { verdict = '', reasons = [], metrics, features = [], ...rest } = passport;
  const bins = metrics?.reliability.map(({ predicted, observed, n }) => ({ p: predicted, rate: observed, count: n })) ?? [];
  return h(
    'div.card', {}, h('div.card-head', {}, h('strong', {}, name), h(`span.tag.${verdictTone(verdict)}`, {}, words(verdict))),
    ...reasons.map((reason) => h('p.warn.small', {}, reason)), facts({ ...rest, features: features.length }),
    metrics ? h('div', {}, facts(Object.fromEntries(Object.entries(metrics).filter(([key]) => key !== 'reliability'))), reliability(bins)) : null,
    h('details', {}, h('summary', {}, 'Features'), h('p.small.muted', {}, features.join(', '))),
  );
}
