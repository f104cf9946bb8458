/** From a button or key to a confirmed command: what will happen is told before, in numbers. */
import type { App } from '../app.ts';
import { decimal, signed, symbolOf } from '../lib/format.ts';
import type { Position } from '../net/protocol.ts';
import { isExternal } from '../store/store.ts';
import { gradeOf, LABELS, pauseOf, wordOf, type Action } from './commands.ts';
import { ask } from './dialog.ts';

const describe = (position: Position): string =>
  `${symbolOf(position.ins)}: ${isExternal(position) ? 'external ' : ''}${position.side} ${decimal(position.qty)} at ${decimal(position.avg)}${isExternal(position) ? ' (average of all held)' : ''}` +
  (position.upnl === null ? '' : `, open PnL ${signed(Number(position.upnl), 2)}`);
const MAX_LINES = 6;
/** What was not described is not closed. */
const CHANGED = 'What is open has changed since you were asked: look again.';
/** A person who flattens wants everything closed: however fast it changes, that is asked about twice at most. */
const CHANGED_FLATTEN = 'What is open has changed since you were asked: whatever is open when you confirm is closed.';

/** Whether there is what was not described: of another instrument or setup, of the other side, or more of it. */
const isMore = (now: Position[], described: Position[]): boolean =>
  now.some(({ ins, setup, side, qty }) => !described.some((one) => one.ins === ins && one.setup === setup && one.side === side && Number(qty) <= Number(one.qty)));

/** Confirm in proportion to the danger, then send; `ins` narrows close, cancel-all and flatten. */
export async function perform(app: App, action: Action, ins: string | null = null): Promise<void> {
  const closes = action === 'close' || action === 'flatten';
  let described: Position[] = [];
  let word: string | undefined;
  for (let asked = 0, isAgreed = false; !isAgreed; asked += 1) {
    if (app.commands.obstacle(action)) return;
    const mode = app.store.status?.mode ?? null;
    const grade = gradeOf(action, mode);
    const typed = word;
    word = grade === 'typed' ? wordOf(action) : undefined;
    described = closing(app, action, ins);
    if (grade === 'none') break;
    const where = mode === 'live' ? 'LIVE, real money' : (mode ?? 'the node is not known: it may be LIVE');
    const yes = await ask({
      title: `${LABELS[action]}${ins ? ` ${symbolOf(ins)}` : ''} — ${where}`,
      effects: [...(asked ? [action === 'flatten' ? CHANGED_FLATTEN : CHANGED] : []), ...effects(app, action, ins)],
      confirm: LABELS[action],
      danger: action === 'kill' || action === 'flatten' || mode === 'live' || mode === null,
      again: asked > 0,
      ...(word ? { word } : {}),
      ...(typed ? { typed } : {}),
    });
    // The world may have changed while the dialog was open.
    if (!yes || app.commands.obstacle(action)) return;
    isAgreed = !closes || (action === 'flatten' && asked > 0) || !isMore(closing(app, action, ins), described);
  }
  const external = action === 'close' && described.some(isExternal) ? { external: true } : {};
  await app.commands.send(action, { ...(ins ? { instrument: ins } : {}), ...external }, word);
}

/** Positions that an action closes: a flatten leaves alone what no setup explains. */
function closing(app: App, action: Action, ins: string | null): Position[] {
  return app.store.openPositions(ins ?? undefined).filter((one) => action !== 'flatten' || !isExternal(one));
}

function effects(app: App, action: Action, ins: string | null): string[] {
  const { store } = app;
  const entries = store.workingOrders(ins ?? undefined).filter((order) => order.role === 'entry');
  const positions = closing(app, action, ins);
  const left = store.openPositions(ins ?? undefined).filter(isExternal);
  const ours = positions.filter((one) => !isExternal(one)).length;
  const taken = entries.length ? `${entries.length} waiting ${entries.length === 1 ? 'entry is' : 'entries are'} taken back` : 'no entry is waiting';
  switch (action) {
    case 'resume':
      return [ins ? `The strategy opens positions in ${symbolOf(ins)} again.` : 'The strategy opens positions again, but in symbols that are paused by themselves.'];
    case 'close':
      return [...linesOf('Close at market', positions), sentence(taken)];
    case 'flatten':
      return [...linesOf('Close at market', positions), ...(left.length ? linesOf('Left alone, close it by itself', left) : []), sentence(taken)];
    case 'cancel-all':
      return [`${sentence(taken).slice(0, -1)}; stops and targets stay.`, 'New entries may follow: pause to prevent them.'];
    case 'kill':
      return [`Entries are halted until a rearm, also over restarts; ${taken}.`, ours ? `${ours} open ${ours === 1 ? 'position keeps its stops' : 'positions keep their stops'}.` : 'No position is open.'];
    case 'rearm':
      return [`Ends the halt${store.status?.kill_reason ? ` (${store.status.kill_reason})` : ''}: entries are allowed again.`];
    case 'pause':
      return [`No new entries; ${taken}.`];
  }
}

const sentence = (text: string): string => `${text[0]!.toUpperCase()}${text.slice(1)}.`;

function linesOf(what: string, positions: Position[]): string[] {
  if (positions.length === 0) return ['No position is open.'];
  const lines = positions.slice(0, MAX_LINES).map((position) => `${what}: ${describe(position)}`);
  if (positions.length > MAX_LINES) lines.push(`… and ${positions.length - MAX_LINES} more`);
  return lines;
}

/** Pause, or resume if all entries are paused; where some symbols are, it pauses the others too. */
export function togglePause(app: App): Promise<void> {
  return pauseOf(app.store.status?.paused).all ? resume(app) : perform(app, 'pause');
}

/** End the pause of everything; where only symbols are paused, of each of them: the one does not end the others. */
export async function resume(app: App): Promise<void> {
  const { all, symbols } = pauseOf(app.store.status?.paused);
  if (all) return perform(app, 'resume');
  for (const ins of symbols) await perform(app, 'resume', ins);
}

/** Close the position of the instrument on the chart. */
export async function closeCurrent(app: App): Promise<void> {
  const { ins } = app.store.market;
  if (app.store.openPositions(ins).length) await perform(app, 'close', ins);
}
