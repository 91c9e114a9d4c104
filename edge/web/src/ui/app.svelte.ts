/** What every component may reach for: the session, the preferences, the language, the place. One per page. */
import { isUnreachable, ProblemError } from '../protocol';
import { PreferenceStore, type Language } from '../session/preferences';
import { Session } from '../session/session';
import { de, type Text } from './text/de';
import { en } from './text/en';

const TEXTS: Record<Language, Text> = { de, en };
const LOCALES: Record<Language, string> = { de: 'de-DE', en: 'en-GB' };

function storage(): Storage | null {
  try {
    return window.localStorage;
  } catch {
    return null;
  }
}

export const preferences = new PreferenceStore(storage());

export const session = new Session({ onTakenOver: () => location.reload() });

class Words {
  language = $state<Language>(preferences.current.value.language);

  /** All texts in the chosen language. */
  get text(): Text {
    return TEXTS[this.language];
  }

  get locale(): string {
    return LOCALES[this.language];
  }

  /** What went wrong, for a person. */
  problem(error: unknown): string {
    if (error instanceof ProblemError && !isUnreachable(error)) return this.reason(error.problem.code);
    if (isUnreachable(error)) return this.text.problems.unreachable;
    return this.text.problems.unknown(error instanceof Error ? error.name : String(error));
  }

  reason(code: string): string {
    return this.text.problems.codes[code] ?? this.text.problems.unknown(code);
  }
}

export const words = new Words();

// A conference puts itself in here for as long as it runs.
window.__schulhof = { conference: () => null };

preferences.current.subscribe(({ language, theme }) => {
  words.language = language;
  document.documentElement.lang = language;
  window.__schulhofTheme?.(theme);
});
