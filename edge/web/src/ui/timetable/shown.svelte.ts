/** Whose week is looked at: kept while the page is open, also when one goes somewhere else in between. */
export type Of = 'own' | 'class' | 'teacher' | 'room';

class Shown {
  of = $state<Of | null>(null);
  names = $state<Partial<Record<Of, string>>>({});
}

export const shown = new Shown();
