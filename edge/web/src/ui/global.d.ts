import type { Snapshot } from '../session/conference/types';

declare global {
  interface Window {
    /** Set by `public/early.js`. */
    __schulhofTheme?: (theme: 'system' | 'light' | 'dark') => void;
    /** For tests and support, read-only: `conference()` is null outside of one. See `Snapshot` for the fields. */
    __schulhof?: { conference: () => Snapshot | null };
  }
}
