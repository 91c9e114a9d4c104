/** A plan in words. */
import type { ChangedPerson, ImportPlan, ListColumn, ListField, ListProblem } from '../../protocol';
import type { PeopleText } from '../text/people/de';

/** `import::PROBLEMS_MAX`: so many may mean more. */
export const PROBLEMS_MAX = 100;

const HEADINGS: Record<string, ListField> = { Vorname: 'first_name', Nachname: 'last_name', Nummer: 'record' };
/** `40711 (12)` */
const TWICE = /^(.*) \((\d+)\)$/;

/** `Zeile 7, Spalte 3 (Klasse)` */
export function problemWhere({ line, column }: ListProblem, columns: readonly ListColumn[], text: PeopleText): string {
  if (line === 0) return text.problems.file;
  if (column === 0) return text.problems.line(line);
  return text.problems.column(line, column, columns[column - 1]?.name ?? '');
}

export function problemText({ code, value }: ListProblem, text: PeopleText): string {
  const say = text.problems.codes[code];
  if (!say) return text.problems.unknown(code);
  // What is missing is named as in a German list.
  const field = code === 'missing-column' ? HEADINGS[value] : undefined;
  // With the line that it stands in before. A list without numbers knows people by their names.
  const [, what = '', line = ''] = (code === 'twice' && TWICE.exec(value)) || ['', value];
  return say(field ? text.format.fields[field] : what.startsWith('name:') ? '' : what, line);
}

/** What happens to a person who is known already. @param roleName a role in words */
export function changesOf(person: ChangedPerson, text: PeopleText, roleName: (role: string) => string): string[] {
  const { plan } = text;
  const changes: string[] = [];
  if (person.name_before !== undefined) changes.push(plan.before(person.name_before));
  if (person.role !== undefined) changes.push(plan.role(roleName(person.role)));
  if (person.leaves.length > 0) changes.push(plan.leaves(person.leaves.join(', ')));
  if (person.joins.length > 0) changes.push(plan.joins(person.joins.join(', ')));
  if (person.returns) changes.push(plan.returns);
  return changes;
}

/** `37 Personen anlegen, 2 ändern, 1 sperren` */
export function summary({ new_people, changed, leavers, new_groups }: ImportPlan, text: PeopleText): string {
  const { confirm } = text;
  const parts = [
    new_people.length > 0 ? confirm.create(new_people.length) : '',
    changed.length > 0 ? confirm.change(changed.length) : '',
    leavers.length > 0 ? confirm.lock(leavers.length) : '',
    new_groups.length > 0 ? confirm.groups(new_groups.length) : '',
  ].filter((part) => part !== '');
  const all = parts.join(', ');
  return all.charAt(0).toUpperCase() + all.slice(1);
}

