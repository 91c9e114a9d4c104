import { beforeEach, describe, expect, it } from 'vitest';
import { BoxClient, ProblemError, Unreachable, type FirstPassword, type ImportPlan, type ImportView } from '../src/protocol';
import { Importing, PastImports, sheetsByClass, type ImportState } from '../src/session/imports';
import { rulesMet } from '../src/ui/login/password';
import { changesOf, problemText, problemWhere, summary } from '../src/ui/people/plan';
import { de } from '../src/ui/text/people/de';
import { en } from '../src/ui/text/people/en';

const LIST = new File(['Nachname;Vorname\nMüller;Anna\n'], 'liste.csv');

const plan = (more: Partial<ImportPlan> = {}): ImportPlan => ({
  import: 'import-1',
  format: { encoding: 'utf-8', delimiter: ';', columns: [{ name: 'Nachname', field: 'last_name' }, { name: 'Klasse', field: 'class' }] },
  rows: 1, new_groups: [], new_people: [{ account: 'a', name: 'Anna Müller', login: 'a.mueller', role: 'pupil', classes: ['5a'] }],
  changed: [], leavers: [], unchanged: 0, problems: [], ...more,
});
const sheet = (name: string, classes: string[]): FirstPassword => ({ account: name, name, login: name, password: 'x', classes });
const past = (name: string): ImportView => ({ import: name, at: 1, by_name: 'Petra', created: 1, changed: 0, locked: 0, may_undo: true });
const problem = (status: number, code: string) => new ProblemError({ status, code, title: '' });

/** A box that answers as told; what is thrown is the answer, too. */
class Box {
  readonly asked: string[] = [];
  plans: (ImportPlan | Error)[] = [];
  applied: FirstPassword[] | Error = [];
  imports: ImportView[] | Error = [];
  undone: Error | null = null;

  door = {
    ask: <T>(question: (box: BoxClient) => Promise<T>) => question(this.client),
    once: <T>(question: (box: BoxClient) => Promise<T>) => question(this.client),
  };

  private readonly client = {
    planImport: async (bytes: Blob, role: string) => {
      this.asked.push(`plan ${role} ${await bytes.text()}`);
      return give(this.plans.length > 1 ? this.plans.shift()! : this.plans[0]!);
    },
    applyImport: async (name: string) => {
      this.asked.push(`apply ${name}`);
      return { passwords: give(this.applied) };
    },
    imports: async () => give(this.imports),
    undoImport: async (name: string) => {
      this.asked.push(`undo ${name}`);
      if (this.undone) throw this.undone;
    },
  } as unknown as BoxClient;
}

function give<T>(answer: T | Error): T {
  if (answer instanceof Error) throw answer;
  return answer;
}

describe('a list that is read in', () => {
  let box: Box;
  let importing: Importing;
  const state = <At extends ImportState['at']>(at: At) => {
    const now = importing.state.value;
    expect(now.at).toBe(at);
    return now as Extract<ImportState, { at: At }>;
  };

  beforeEach(() => {
    box = new Box();
    box.plans = [plan()];
    importing = new Importing(box.door);
  });

  it('is looked at first, and applied under the name that was looked at', async () => {
    await importing.choose(LIST, 'pupil');
    expect(box.asked).toEqual(['plan pupil Nachname;Vorname\nMüller;Anna\n']);
    box.applied = [sheet('Anna', ['5a'])];
    await importing.apply();
    expect(box.asked.at(-1)).toBe('apply import-1');
    expect(state('done').passwords).toHaveLength(1);
  });

  it('is never applied with a problem in it, nor when nothing changes', async () => {
    for (const useless of [{ problems: [{ line: 2, column: 1, code: 'empty-field', value: '' }] }, { new_people: [] }]) {
      box.plans = [plan(useless)];
      await importing.choose(LIST, 'pupil');
      await importing.apply();
      state('plan');
    }
    expect(box.asked.filter((asked) => asked.startsWith('apply'))).toEqual([]);
  });

  it.each([problem(409, 'plan-changed'), problem(404, 'unknown-import')])('is read again, and looked at again, when its plan holds no more (%s)', async (answer) => {
    box.plans = [plan(), plan({ import: 'import-2' })];
    await importing.choose(LIST, 'teacher');
    box.applied = answer;
    await importing.apply();
    expect(state('plan')).toMatchObject({ outdated: true, plan: { import: 'import-2' } });
    expect(box.asked.at(-1)).toMatch(/^plan teacher/);
  });

  it('stays with what a rule forbids, and says which', async () => {
    await importing.choose(LIST, 'pupil');
    box.applied = problem(409, 'own-account');
    await importing.apply();
    expect((state('plan').error as ProblemError).problem.code).toBe('own-account');
  });

  it('that was applied without an answer is not applied twice: the list of imports knows', async () => {
    await importing.choose(LIST, 'pupil');
    box.applied = new Unreachable();
    box.imports = [past('import-1')];
    await importing.apply();
    state('lost');
  });

  it('that did not arrive can be applied again', async () => {
    await importing.choose(LIST, 'pupil');
    box.applied = new Unreachable();
    await importing.apply();
    expect(state('plan').error).toBeInstanceOf(Unreachable);
  });

  it('is not sure as long as nobody answers, and looks it up later', async () => {
    await importing.choose(LIST, 'pupil');
    box.applied = box.imports = new Unreachable();
    await importing.apply();
    state('unsure');
    box.imports = [past('import-1')];
    await importing.look();
    state('lost');
  });

  it('that is too large is not sent', async () => {
    await importing.choose(new File([new Uint8Array((4 << 20) + 1)], 'gross.csv'), 'pupil');
    expect((state('choose').error as ProblemError).problem.code).toBe('list-too-large');
    expect(box.asked).toEqual([]);
  });

  it('says why it could not be read, and forgets an answer that nobody waits for', async () => {
    box.plans = [problem(403, 'not-allowed')];
    await importing.choose(LIST, 'pupil');
    expect((state('choose').error as ProblemError).problem.code).toBe('not-allowed');
    box.plans = [plan()];
    const late = importing.choose(LIST, 'pupil');
    importing.restart();
    await late;
    expect(state('choose').error).toBeNull();
  });
});

describe('imports so far', () => {
  it('are loaded anew after an undo, also when it was refused', async () => {
    const box = new Box();
    const imports = new PastImports(box.door);
    box.imports = [past('import-1')];
    await imports.load();
    box.undone = problem(409, 'not-newest');
    box.imports = [past('import-2'), { ...past('import-1'), may_undo: false }];
    await expect(imports.undo('import-1')).rejects.toThrow('not-newest');
    expect(imports.list.value?.map((entry) => entry.import)).toEqual(['import-2', 'import-1']);
  });
});

describe('sheets', () => {
  it('stand by class as people count, those without one at the end, each person once', () => {
    const groups = sheetsByClass([sheet('Zoe', ['10b']), sheet('Ömer', ['5a']), sheet('Uwe', []), sheet('Anna', ['5a', '10b']), sheet('Pia', ['5a'])], 'de-DE');
    expect(groups.map(({ name, sheets }) => [name, sheets.map((one) => one.name)])).toEqual([
      ['5a', ['Anna', 'Ömer', 'Pia']],
      ['10b', ['Zoe']],
      [null, ['Uwe']],
    ]);
  });
});

describe('a plan in words', () => {
  const { columns } = plan().format;

  it('sums up what will be done, and leaves out what will not', () => {
    const many = plan({
      new_people: Array.from({ length: 37 }, (_, n) => ({ account: `p${n}`, name: 'P', login: 'p', role: 'pupil', classes: [] })),
      changed: [{ account: 'x', name: 'X', joins: [], leaves: [], returns: false }, { account: 'y', name: 'Y', joins: [], leaves: [], returns: false }],
      leavers: [{ account: 'z', name: 'Z' }],
    });
    expect(summary(many, de)).toBe('37 Personen anlegen, 2 ändern, 1 sperren');
    expect(summary(many, en)).toBe('Create 37 people, change 2, lock 1');
    expect(summary(plan({ new_groups: ['5a'] }), de)).toBe('1 Person anlegen, 1 Klasse anlegen');
  });

  it('says where a problem is, as a spreadsheet counts', () => {
    const at = (line: number, column: number) => problemWhere({ line, column, code: 'twice', value: '' }, columns, de);
    expect([at(0, 0), at(7, 0), at(7, 2), at(7, 9)]).toEqual(['Ganze Datei', 'Zeile 7', 'Zeile 7, Spalte 2 (Klasse)', 'Zeile 7, Spalte 9']);
  });

  it('says what a problem is, also one that it does not know', () => {
    const say = (code: string, value: string) => problemText({ line: 1, column: 0, code, value }, de);
    expect(say('missing-column', 'Nummer')).toBe('Die Spalte „Nummer in der Verwaltung“ fehlt.');
    expect(say('missing-column', 'Schule')).toBe('Die Spalte „Schule“ fehlt.');
    expect(say('twice', '40711 (12)')).toBe('„40711“ steht schon in Zeile 12.');
    expect(say('twice', 'name:annamüller (4)')).toBe('Diese Person steht schon in Zeile 4.');
    expect(say('bad-role', 'Gast (extern)')).toBe('„Gast (extern)“ ist keine bekannte Rolle.');
    expect(say('brand-new', '')).toContain('brand-new');
  });

  it('says what changes about a person', () => {
    const changed = { account: 'x', name: 'Mia Neu', name_before: 'Mia Alt', role: 'teacher', joins: ['6a'], leaves: ['5a'], returns: true };
    expect(changesOf(changed, de, () => 'Lehrkraft')).toEqual([
      'bisher Mia Alt', 'wird Lehrkraft', 'verlässt 5a', 'kommt in 6a', 'ist wieder da und wird entsperrt',
    ]);
  });
});

describe('a new password', () => {
  it('keeps to the rules of the box', () => {
    const view = { login: 'lea.an-gross', name: 'Lea An-Groß' };
    const met = (next: string) => Object.values(rulesMet(view, 'kiwi-baum-7', next));
    expect(met('')).toEqual([false, false, false]);
    expect(met('kurz')).toEqual([false, true, true]);
    expect(met('ganz geheim')).toEqual([true, true, true]);
    expect(met('kiwi-baum-7')).toEqual([true, true, false]);
    expect(met('mein GROß geheim')).toEqual([true, false, true]);
    expect(met('xlea.an-grossx')).toEqual([true, false, true]);
    // Short parts of a name stand in many words.
    expect(met('leander im wald')).toEqual([true, true, true]);
  });
});
