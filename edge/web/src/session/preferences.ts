/** What a person chose in this browser: kept in `localStorage`, read again at the next visit. */
import { Cell, type Readable } from './cell';

export type Language = 'de' | 'en';
export type Theme = 'system' | 'light' | 'dark';

export interface Preferences {
  /** None chosen: German, the school's language. */
  language: Language;
  theme: Theme;
  /** Single keys and Ctrl+D/E in a conference. */
  shortcuts: boolean;
  microphone: { device: string | null; on: boolean };
  camera: { device: string | null; on: boolean };
  speaker: string | null;
  layout: 'grid' | 'speaker';
}

const KEY = 'schulhof:preferences';

const DEFAULTS: Preferences = {
  language: 'de',
  theme: 'system',
  shortcuts: true,
  microphone: { device: null, on: true },
  camera: { device: null, on: true },
  speaker: null,
  layout: 'grid',
};

export interface KeyValue {
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
}

export class PreferenceStore {
  private readonly cell: Cell<Preferences>;

  constructor(private readonly storage: KeyValue | null) {
    this.cell = new Cell({ ...DEFAULTS, ...read(storage) });
  }

  get current(): Readable<Preferences> {
    return this.cell;
  }

  set(change: Partial<Preferences>): void {
    this.cell.update((current) => ({ ...current, ...change }));
    try {
      this.storage?.setItem(KEY, JSON.stringify(this.cell.value));
    } catch {
      // Full or forbidden: holds until the page is closed.
    }
  }
}

function read(storage: KeyValue | null): Partial<Preferences> {
  let kept: unknown;
  try {
    kept = JSON.parse(storage?.getItem(KEY) ?? '{}');
  } catch {
    return {};
  }
  if (typeof kept !== 'object' || kept === null) return {};
  const { language, theme, shortcuts, microphone, camera, speaker, layout } = kept as Partial<Preferences>;
  const device = (value: unknown): Preferences['camera'] | undefined => {
    const { device, on } = (value ?? {}) as Partial<Preferences['camera']>;
    if (typeof on !== 'boolean') return undefined;
    return { device: typeof device === 'string' ? device : null, on };
  };
  const found: { [K in keyof Preferences]?: Preferences[K] | undefined } = {
    language: language === 'de' || language === 'en' ? language : undefined,
    theme: theme === 'system' || theme === 'light' || theme === 'dark' ? theme : undefined,
    shortcuts: typeof shortcuts === 'boolean' ? shortcuts : undefined,
    microphone: device(microphone),
    camera: device(camera),
    speaker: typeof speaker === 'string' ? speaker : undefined,
    layout: layout === 'grid' || layout === 'speaker' ? layout : undefined,
  };
  return Object.fromEntries(Object.entries(found).filter(([, value]) => value !== undefined));
}
