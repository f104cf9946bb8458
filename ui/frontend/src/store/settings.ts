/** What the user chose, kept in this browser; an unknown or older version is forgotten. */

export type ZoneToggle = 'ote' | 'ob' | 'fvg' | 'liquidity' | 'range' | 'structure';
export type PaneName = 'imbalance' | 'vpin' | 'model' | 'score' | 'volume';

export interface Settings {
  theme: 'dark' | 'light';
  palette: 'classic' | 'safe';
  zone: string;
  sound: boolean;
  ins: string;
  view: 'buckets' | 'bars';
  timeframe: string;
  candles: 'imbalance' | 'direction';
  overlays: Record<ZoneToggle | 'markers', boolean>;
  panes: Record<PaneName, boolean>;
  paneHeights: Partial<Record<PaneName | 'price', number>>;
  sideWidth: number;
  blotterHeight: number;
  tab: string;
}

export const DEFAULTS: Settings = {
  theme: 'dark',
  palette: 'classic',
  zone: 'UTC',
  sound: false,
  ins: '',
  view: 'buckets',
  timeframe: '',
  candles: 'imbalance',
  overlays: { ote: true, ob: true, fvg: true, liquidity: true, range: true, structure: true, markers: true },
  panes: { imbalance: true, vpin: true, model: true, score: true, volume: true },
  paneHeights: {},
  sideWidth: 300,
  blotterHeight: 220,
  tab: 'orders',
};

const KEY = 'smcbot.terminal';
const VERSION = 1;

type Listener = (settings: Settings) => void;
type Storage = Pick<globalThis.Storage, 'getItem' | 'setItem' | 'removeItem'>;

export class SettingsStore {
  current: Settings;
  private readonly listeners: Listener[] = [];
  private readonly storage: Storage;

  constructor(storage: Storage) {
    this.storage = storage;
    this.current = load(storage);
  }

  on(listener: Listener): void {
    this.listeners.push(listener);
  }

  set(change: Partial<Settings>): void {
    this.remember(change);
    for (const listener of this.listeners) listener(this.current);
  }

  /** Keep what is shown already: nobody is told. */
  remember(change: Partial<Settings>): void {
    this.current = { ...this.current, ...change };
    try {
      this.storage.setItem(KEY, JSON.stringify({ version: VERSION, settings: this.current }));
    } catch {
      // A full or forbidden storage costs the memory of the layout, nothing else.
    }
  }

  /** Back to the defaults; the chosen instrument stays. */
  reset(): void {
    this.set({ ...structuredClone(DEFAULTS), ins: this.current.ins });
  }
}

function load(storage: Storage): Settings {
  const defaults = structuredClone(DEFAULTS);
  try {
    const kept: unknown = JSON.parse(storage.getItem(KEY) ?? 'null');
    if (!isRecord(kept) || kept['version'] !== VERSION || !isRecord(kept['settings'])) return defaults;
    return merge(defaults as unknown as Record<string, unknown>, kept['settings']) as unknown as Settings;
  } catch {
    return defaults;
  }
}

/** Take over values whose key and type are those of the defaults; an empty record of defaults takes all. */
function merge(defaults: Record<string, unknown>, kept: Record<string, unknown>): Record<string, unknown> {
  for (const [key, value] of Object.entries(kept)) {
    const known = defaults[key];
    if (isRecord(known) && isRecord(value)) {
      if (Object.keys(known).length === 0) defaults[key] = value;
      else merge(known, value);
    } else if (typeof known === typeof value) defaults[key] = value;
  }
  return defaults;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
