/** Backtests: a form, the runs with their progress, a result, and runs beside each other. */
import type { App } from '../app.ts';
import { h, replace } from '../lib/dom.ts';
import { duration, fixed, percent, signed } from '../lib/format.ts';
import { BacktestForm, type Strategy } from './backtest-form.ts';
import { every, failure, section, type Page } from './page.ts';
import { curves, tiles, type Tile } from './parts.ts';

export interface Job {
  id: string;
  state: 'queued' | 'running' | 'done' | 'failed' | 'cancelled';
  progress: number;
  asked: { strategy?: string; symbols?: string[]; symbol?: string; start?: string; end?: string; parameters?: Record<string, unknown> };
  by: string;
  created: number;
  started: number | null;
  ended: number | null;
  error: string | null;
  files?: Record<string, string>;
  result?: Record<string, unknown>;
}

const POLL_MS = 1000;
const MAX_COMPARED = 4;
const TONES = ['accent', 'model', 'warn', 'up'];
type Metric = [key: string, label: string, text: (value: number) => string, signed?: boolean];
const METRICS: Metric[] = [
  ['total_return_pct', 'Return', (value) => `${signed(value, 2)}%`, true], ['pnl', 'PnL', (value) => signed(value, 2), true],
  ['max_drawdown_pct', 'Max drawdown', (value) => `${fixed(value, 2)}%`], ['sharpe', 'Sharpe', (value) => fixed(value, 2)],
  ['profit_factor', 'Profit factor', (value) => fixed(value, 2)], ['win_rate', 'Won', (value) => percent(value)],
  ['expectancy_r', 'Expectancy', (value) => `${signed(value, 3)} R`, true], ['positions_closed', 'Positions', (value) => fixed(value, 0)],
  ['entries_submitted', 'Entries', (value) => fixed(value, 0)], ['entries_cancelled_by_model', 'Cancelled by model', (value) => fixed(value, 0)],
  ['fees', 'Fees', (value) => fixed(value, 2)], ['final_balance', 'Final balance', (value) => fixed(value, 2)],
  ['ticks', 'Ticks', (value) => fixed(value, 0)], ['buckets', 'Buckets', (value) => fixed(value, 0)],
];

export function open(app: App): Page {
  const list = h('div.jobs', { role: 'list', 'aria-live': 'polite' });
  const detail = h('div');
  const form = h('div', {}, h('p.muted', {}, 'reading the strategies …'));
  const picked = new Set<string>();
  let shown: string | null = null;
  let last = '';

  const show = async (id: string): Promise<void> => {
    shown = id;
    try {
      replace(detail, await resultView(await app.api.get<Job>(`/api/v1/backtests/${id}`)));
    } catch (error) {
      replace(detail, failure(error));
    }
  };
  const compare = async (): Promise<void> => {
    shown = null;
    try {
      const jobs = await Promise.all([...picked].map((id) => app.api.get<Job>(`/api/v1/backtests/${id}`)));
      replace(detail, await comparison(app, jobs));
    } catch (error) {
      replace(detail, failure(error));
    }
  };
  const poll = async (): Promise<void> => {
    const answer = await app.api.get<{ backtests: Job[] }>('/api/v1/backtests', { limit: 50 }).catch((error: unknown) => error);
    if (!(answer instanceof Object && 'backtests' in answer)) return replace(list, failure(answer));
    const { backtests } = answer as { backtests: Job[] };
    const now = JSON.stringify([backtests, [...picked]]);
    if (now === last) return;
    last = now;
    replace(list, ...(backtests.length ? backtests.map((job) => jobLine(job)) : [h('p.muted', {}, 'no backtest was run from here yet')]));
    const mine = backtests.find((job) => job.id === shown);
    if (mine && detail.dataset['state'] !== mine.state) {
      detail.dataset['state'] = mine.state;
      void show(mine.id);
    }
  };
  const jobLine = (job: Job): HTMLElement => {
    const box = h<HTMLInputElement>('input', { type: 'checkbox', checked: picked.has(job.id), disabled: job.state !== 'done', 'aria-label': 'compare' });
    box.addEventListener('change', () => {
      if (box.checked && picked.size < MAX_COMPARED) picked.add(job.id);
      else picked.delete(job.id);
      if (picked.size >= 2) void compare();
    });
    const bar = h('div.progress-fill');
    bar.style.width = `${job.progress * 100}%`;
    const isOpen = job.state === 'running' || job.state === 'queued';
    const cancel = isOpen ? h('button.btn.tiny', { onclick: () => void app.api.remove(`/api/v1/backtests/${job.id}`).then(poll) }, 'Cancel') : null;
    const what = [job.asked.strategy, (job.asked.symbols ?? [job.asked.symbol]).filter(Boolean).join(' ') || 'whole catalog'].join(' · ');
    return h(
      `div.job.is-${job.state}`, { role: 'listitem' }, box,
      h('button.job-name', { onclick: () => void show(job.id) }, h('b', {}, what), h('span.muted.small', {}, `${app.clock().date(job.created)} by ${job.by}`)),
      isOpen ? h('div.progress', { role: 'progressbar', 'aria-valuenow': Math.round(job.progress * 100) }, bar) : h(`span.tag.${job.state === 'done' ? 'up' : job.state === 'failed' ? 'down' : 'muted'}`, {}, job.state),
      cancel,
    );
  };
  void loadForm(app, form, async (job) => {
    shown = job.id;
    await poll();
    await show(job.id);
  });
  const stop = every(POLL_MS, () => void poll());
  const element = h('main.page', {}, h('h1', {}, 'Backtests'), h('div.backtests', {}, section('New', form), h('div', {}, section('Runs', h('p.muted.small', {}, 'Tick up to four finished runs to compare them.'), list), detail)));
  return { element, leave: stop };
}

async function loadForm(app: App, target: HTMLElement, started: (job: Job) => Promise<void>): Promise<void> {
  try {
    const { strategies } = await app.api.get<{ strategies: Strategy[] }>('/api/v1/strategies');
    const form = new BacktestForm(strategies, async (body) => started(await app.api.post<Job>('/api/v1/backtests', body)));
    replace(target, form.element);
    // A large catalog takes a while to list; the form need not wait for what it suggests.
    void app.api.get<{ pairs: { instrument: string }[] }>('/api/v1/pairs').then(({ pairs }) => form.suggest([...new Set(pairs.map((one) => one.instrument))]), () => undefined);
    if (app.api.session?.role !== 'operator') form.refuse('viewers cannot start backtests', null);
  } catch (error) {
    replace(target, failure(error));
  }
}

function metricTiles(result: Record<string, unknown>): Tile[] {
  const known = METRICS.filter(([key]) => typeof result[key] === 'number');
  return known.map(([key, label, text, isSigned]): Tile => [label, text(result[key] as number), isSigned ? (result[key] as number) : null]);
}

async function resultView(job: Job): Promise<HTMLElement> {
  const title = `${job.asked.strategy ?? ''} — ${job.state}`;
  if (!job.result) return section(title, h('p.notice', { hidden: !job.error }, job.error ?? ''), h('p.muted', {}, job.state === 'running' ? 'running …' : ''));
  const { result } = job;
  const links = Object.entries(job.files ?? {}).map(([name, href]) => h('a.btn', { href, download: name }, name));
  const took = job.started && job.ended ? `took ${duration(job.ended - job.started)}` : '';
  const equity = await equityOf(job);
  return section(
    title, h('p.muted.small', {}, [`${result['start']} – ${result['end']}`, took, `decisions ${String(result['decision_sha256'] ?? '').slice(0, 12)}`].join(' · ')),
    h('div.tiles', {}, ...tiles(metricTiles(result))),
    equity.length > 1 ? curves('profit and loss by closed trade', [{ name: 'PnL', tone: 'accent', values: equity }]) : null,
    h('div.form-line', {}, ...links, h('a.btn', { href: '#/journal' }, 'Journal')),
  );
}

/** Money made by closed trades, in order of their exits. */
async function equityOf(job: Job): Promise<number[]> {
  const url = job.files?.['trades.csv'];
  const text = url ? await fetch(url).then((answer) => (answer.ok ? answer.text() : ''), () => '') : '';
  const [head, ...lines] = text.trim().split('\n').map((line) => line.split(','));
  const [exit, pnl] = ['exit_ts_ns', 'pnl'].map((name) => head?.indexOf(name) ?? -1);
  if (exit === undefined || pnl === undefined || exit < 0 || pnl < 0) return [];
  let sum = 0;
  const ordered = lines.sort((a, b) => Number(a[exit]) - Number(b[exit]));
  return [0, ...ordered.map((line) => (sum += Number(line[pnl])))];
}

async function comparison(app: App, jobs: Job[]): Promise<HTMLElement> {
  const equities = await Promise.all(jobs.map(equityOf));
  const table = h('table.compare');
  const name = (job: Job, index: number): HTMLElement => h(`th.${TONES[index]}`, { scope: 'col' }, `${job.asked.strategy} ${app.clock().date(job.created)}`);
  table.append(h('tr', {}, h('th'), ...jobs.map(name)));
  for (const [key, label, text] of METRICS) {
    const values = jobs.map((job) => job.result?.[key]);
    if (!values.some((value) => typeof value === 'number')) continue;
    table.append(h('tr', {}, h('th', { scope: 'row' }, label), ...values.map((value) => h('td.num', {}, typeof value === 'number' ? text(value) : '–'))));
  }
  for (const key of differing(jobs)) {
    table.append(h('tr', {}, h('th', { scope: 'row' }, key), ...jobs.map((job) => h('td', {}, String(job.asked.parameters?.[key] ?? 'default')))));
  }
  const lines = jobs.map((job, index) => ({ name: job.asked.strategy ?? job.id, tone: TONES[index]!, values: equities[index]! }));
  return section('Comparison', curves('profit and loss by closed trade', lines), h('div.compare-frame', {}, table));
}

/** Parameters that are not the same in all runs. */
function differing(jobs: Job[]): string[] {
  const keys = new Set(jobs.flatMap((job) => Object.keys(job.asked.parameters ?? {})));
  return [...keys].filter((key) => new Set(jobs.map((job) => String(job.asked.parameters?.[key]))).size > 1);
}
