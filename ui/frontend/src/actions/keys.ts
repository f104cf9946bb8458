/** Keys of the terminal; not in fields and dialogs, not with modifiers, not when held down. */
import type { App } from '../app.ts';
import type { ChartPanel } from '../views/chart-panel.ts';
import { PANES_OF } from '../chart/panes.ts';
import type { ZoneToggle } from '../store/settings.ts';
import { closeCurrent, perform, togglePause } from './control.ts';

export interface KeyTargets {
  app: App;
  chart: ChartPanel;
  openSymbols(): void;
  openHelp(): void;
  focusBlotter(): void;
  /** Keys of the terminal do nothing on other pages, but Kill and help do. */
  isTerminal(): boolean;
}

export interface Binding {
  keys: string[];
  label: string;
  help: string;
  everywhere?: boolean;
  repeats?: boolean;
  /** Acts on the instrument of the chart: in a table a person looks at the row that is selected. */
  notInTables?: boolean;
  run(targets: KeyTargets, event: KeyboardEvent): void;
}

const PAN_ROWS = 10;

export const BINDINGS: Binding[] = [
  { keys: ['p', 'P'], label: 'P', help: 'pause or resume entries', run: ({ app }) => void togglePause(app) },
  { keys: ['x', 'X'], label: 'X', help: 'cancel all waiting entries', run: ({ app }) => void perform(app, 'cancel-all') },
  {
    keys: ['c', 'C'], label: 'C', help: 'close the position of this instrument; in the table, of the selected row', notInTables: true,
    run: ({ app }) => void closeCurrent(app),
  },
  { keys: ['K'], label: 'Shift K', help: 'kill switch', everywhere: true, run: ({ app }) => void perform(app, 'kill') },
  { keys: ['/', 's', 'S'], label: '/ or S', help: 'switch symbol', run: ({ openSymbols }) => openSymbols() },
  { keys: ['?'], label: '?', help: 'this help', everywhere: true, run: ({ openHelp }) => openHelp() },
  { keys: ['End'], label: 'End', help: 'follow the newest bucket', run: ({ chart }) => chart.host.follow() },
  { keys: ['Home'], label: 'Home', help: 'oldest bucket loaded', run: ({ chart }) => chart.host.reveal(0) },
  { keys: ['+', '='], label: '+', help: 'zoom in', repeats: true, run: ({ chart }) => chart.host.zoom(0.8) },
  { keys: ['-', '_'], label: '−', help: 'zoom out', repeats: true, run: ({ chart }) => chart.host.zoom(1.25) },
  {
    keys: ['ArrowLeft', 'ArrowRight'], label: '← →', help: 'pan (Shift: ten times as far)', repeats: true,
    run: ({ chart }, event) => chart.host.pan((event.key === 'ArrowLeft' ? -1 : 1) * PAN_ROWS * (event.shiftKey ? 10 : 1)),
  },
  { keys: ['f', 'F'], label: 'F', help: 'fit everything', run: ({ chart }) => chart.host.fit() },
  { keys: ['z', 'Z'], label: 'Z', help: 'reset the axes', run: ({ chart }) => chart.host.resetAxes() },
  { keys: ['1', '2', '3'], label: '1 2 3', help: 'show or hide a pane', run: ({ app }, event) => togglePane(app, Number(event.key) - 1) },
  overlay('o', 'ote', 'OTE zones'),
  overlay('b', 'ob', 'order blocks'),
  overlay('g', 'fvg', 'fair value gaps'),
  overlay('l', 'liquidity', 'liquidity'),
  overlay('r', 'range', 'dealing range'),
  { keys: ['v', 'V'], label: 'V', help: 'buckets or klines', run: ({ app }) => app.settings.set({ view: app.settings.current.view === 'bars' ? 'buckets' : 'bars' }) },
  { keys: ['t', 'T'], label: 'T', help: 'to the table', run: ({ focusBlotter }) => focusBlotter() },
  { keys: ['m', 'M'], label: 'M', help: 'sound on or off', everywhere: true, run: ({ app }) => app.settings.set({ sound: !app.settings.current.sound }) },
];

function overlay(key: string, toggle: ZoneToggle, name: string): Binding {
  return {
    keys: [key, key.toUpperCase()], label: key.toUpperCase(), help: `show or hide ${name}`,
    run: ({ app }) => {
      const { overlays } = app.settings.current;
      app.settings.set({ overlays: { ...overlays, [toggle]: !overlays[toggle] } });
    },
  };
}

function togglePane(app: App, index: number): void {
  const { panes, view } = app.settings.current;
  const name = PANES_OF[view][index];
  if (name) app.settings.set({ panes: { ...panes, [name]: !panes[name] } });
}

/** Listen on the document. */
export function bindKeys(targets: KeyTargets): void {
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (isTyping(event.target) || isMoving(event) || document.querySelector('dialog[open]')) return;
    const binding = BINDINGS.find((one) => one.keys.includes(event.key));
    if (!binding || (event.repeat && !binding.repeats)) return;
    if (!binding.everywhere && !targets.isTerminal()) return;
    if (binding.notInTables && isIn(event.target, '[role=grid]')) return;
    event.preventDefault();
    binding.run(targets, event);
  });
}

const MOVES = new Set(['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'PageUp', 'PageDown', 'Home', 'End', 'Enter', ' ']);

const isIn = (target: EventTarget | null, places: string): boolean => target instanceof Element && Boolean(target.closest(places));

/** Fields take every key. */
const isTyping = (target: EventTarget | null): boolean => isIn(target, 'input, select, textarea');

/** Tables and tab lists take keys that move; letters reach the terminal from there too, Kill above all. */
const isMoving = ({ target, key }: KeyboardEvent): boolean => MOVES.has(key) && isIn(target, '[role=grid], [role=tablist]');
