/** Settings and help. */
import type { App } from '../app.ts';
import { modal } from '../actions/dialog.ts';
import { BINDINGS } from '../actions/keys.ts';
import { PANE_TITLES, PANES_OF } from '../chart/panes.ts';
import { h } from '../lib/dom.ts';
import { zones } from '../lib/time.ts';
import type { Settings } from '../store/settings.ts';

export function openSettings(app: App, logOut: () => void): void {
  const { settings } = app;
  const select = <K extends 'theme' | 'palette' | 'zone' | 'candles'>(name: K, label: string, options: [Settings[K], string][]): HTMLElement => {
    const field = h<HTMLSelectElement>('select.field', {}, ...options.map(([value, text]) => h('option', { value, selected: value === settings.current[name] }, text)));
    field.addEventListener('change', () => settings.set({ [name]: field.value }));
    return h('label.setting', {}, h('span', {}, label), field);
  };
  const check = (label: string, checked: boolean, change: (checked: boolean) => void): HTMLElement => {
    const box = h<HTMLInputElement>('input', { type: 'checkbox', checked });
    box.addEventListener('change', () => change(box.checked));
    return h('label.setting', {}, h('span', {}, label), box);
  };
  const panes = PANES_OF[settings.current.view].map((name) =>
    check(`Pane: ${PANE_TITLES[name]}`, settings.current.panes[name], (shown) => settings.set({ panes: { ...settings.current.panes, [name]: shown } })),
  );
  const close = (): void => dialog.close();
  const body = h(
    'div', {}, h('h2', {}, 'Settings'),
    select('theme', 'Theme', [['dark', 'Dark'], ['light', 'Light']]),
    select('palette', 'Colours', [['classic', 'Green and red'], ['safe', 'Blue and orange (colour-blind safe)']]),
    select('zone', 'Time zone of axis, tables and logs', zones().map((zone): [string, string] => [zone, zone])),
    select('candles', 'Candles coloured by', [['imbalance', 'Signed imbalance'], ['direction', 'Direction']]),
    check('Sound on fills, rejections and stale data', settings.current.sound, (sound) => settings.set({ sound })),
    ...panes,
    h(
      'div.dialog-buttons', {}, h('button.btn', { onclick: logOut }, 'Log out'), h('div.spring'),
      h('button.btn', { onclick: () => (settings.reset(), close()) }, 'Reset layout'),
      h('button.btn.primary', { onclick: close }, 'Done'),
    ),
  );
  const dialog = modal(body);
}

export function openHelp(): void {
  const list = h('dl.keys');
  for (const { label, help } of BINDINGS) list.append(h('dt', {}, h('kbd', {}, label)), h('dd', {}, help));
  const dialog = modal(h(
    'div', {}, h('h2', {}, 'Keys'), list,
    h('p.muted.small', {}, 'Keys do nothing in fields and dialogs and when held down. In a dialog, Escape is Back.'),
    h('div.dialog-buttons', {}, h('button.btn.primary', { onclick: () => dialog.close() }, 'Done')),
  ));
}
