/** What every component may reach for: the session, the preferences, the language, the place. One per page. */
import { isUnreachable, ProblemError } from '../protocol';
import { PreferenceStore, type Language } from '../session/preferences';
import { Session } from '../session/session';
import { de, type Text } from './text/de';

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
  /** Shown; follows what is chosen as soon as its texts are there. */
  language = $state<Language>('de');
  /** Those of the chosen language are there. */
  ready = Promise.resolve();
  private english: Text | null = null;

  /** All texts in the language. */
  get text(): Text {
    return this.language === 'en' && this.english ? this.english : de;
  }

  choose(language: Language): void {
    const show = () => {
      // Meanwhile another one may have been chosen.
      if (preferences.current.value.language !== language) return;
      this.language = language;
      document.documentElement.lang = language;
    };
    if (language === 'de' || this.english) return show();
    const load = import('./text/en').then(({ en }) => {
      this.english = en;
      show();
    });
    // Without it the page speaks German.
    this.ready = load.catch(() => {});
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
  words.choose(language);
  window.__schulhofTheme?.(theme);
});
