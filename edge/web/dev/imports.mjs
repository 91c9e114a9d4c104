// schulhof-mock: made-up imports. The file's name says how the list is: `kaputt.csv`, `gleich.csv`, `gross.csv`, else a mixed one.
import { hlc } from './data.mjs';

const FIRST = ['Mia', 'Emre', 'Sofia', 'Jonas', 'Zoë', 'Øyvind', 'Anaïs', 'Łukasz', 'Ömer', 'Greta', 'Noah', 'Ayşe'];
const LAST = ['Müller', 'Groß', 'Weiß-Schönberg', 'Yıldız', 'Kowalczyk', 'Hoffmann', 'von der Heide', 'Nguyen'];

const format = {
  encoding: 'windows-1252',
  delimiter: ';',
  columns: [
    { name: 'Schüler-ID', field: 'record' }, { name: 'Nachname', field: 'last_name' }, { name: 'Vorname', field: 'first_name' },
    { name: 'Klasse', field: 'class' }, { name: 'Geburtsdatum', field: null }, { name: 'Telefon', field: null },
  ],
};

function newPeople(count) {
  return Array.from({ length: count }, (_, n) => {
    const name = `${FIRST[n % FIRST.length]} ${LAST[(n * 3) % LAST.length]}`;
    return { account: `new-${n}`, name, login: `p${n}.${name.split(' ').at(-1).toLowerCase().replace(/[^a-z]/g, '')}`, role: 'pupil', classes: n % 9 === 8 ? [] : [n % 2 ? '5b' : '5a'] };
  });
}

export function plan(kind) {
  const base = { import: `import-${kind}`, format, rows: 214, new_groups: [], new_people: [], changed: [], leavers: [], unchanged: 214, problems: [] };
  if (kind === 'gleich') return base;
  if (kind === 'gross') return { ...base, rows: 640, new_people: newPeople(420), new_groups: ['5a', '5b'] };
  if (kind === 'kaputt') {
    const at = (line, column, code, value) => ({ line, column, code, value });
    return {
      ...base, rows: 31, new_people: [...newPeople(3), ...newPeople(1)],
      problems: [at(0, 0, 'missing-column', 'Nachname'), at(7, 3, 'bad-name', 'Anna\u00ad\u00ad1'), at(12, 0, 'too-few-fields', ''), at(19, 1, 'twice', '40711 (12)'), at(23, 4, 'empty-field', ''), at(24, 0, 'neu-und-unbekannt', 'x')],
    };
  }
  return {
    ...base, rows: 240, unchanged: 235, new_groups: ['5a', '5b'], new_people: newPeople(30),
    changed: [
      { account: 'mia', name: 'Mia Schneider-Kühn', name_before: 'Mia Schneider', joins: [], leaves: [], returns: false },
      { account: 'emre', name: 'Emre Yıldız', joins: ['8b'], leaves: ['7a'], returns: false },
      { account: 'finn', name: 'Finn Petersen', joins: ['7a'], leaves: [], returns: true },
    ],
    leavers: [{ account: 'paul', name: 'Paul Neumann' }, { account: 'lena', name: 'Lena Hoffmann' }],
  };
}

/** What one run has imported. */
export function imports() {
  const at = (day) => hlc(Date.UTC(2026, 7, day, 9, 12));
  let list = [
    { import: 'old-2', at: at(24), by_name: 'Petra Hoffmann', created: 96, changed: 3, locked: 88, may_undo: true },
    { import: 'old-1', at: at(3), by_name: '', created: 702, changed: 0, locked: 0, may_undo: false },
  ];
  let read = null;
  return {
    list: () => list,
    read: (text) => (read = plan(/KAPUTT/.test(text) ? 'kaputt' : /GLEICH/.test(text) ? 'gleich' : /GROSS/.test(text) ? 'gross' : 'gemischt')),
    apply() {
      list = [{ import: read.import, at: hlc(Date.now()), by_name: 'Petra Hoffmann', created: read.new_people.length, changed: 3, locked: 2, may_undo: true }, ...list.map((entry) => ({ ...entry, may_undo: false }))];
      return { passwords: read.new_people.map(({ account, name, login, classes }, n) => ({ account, name, login, classes, password: `kiwi-${1000 + n * 37}-baum` })) };
    },
    undo() {
      list = list.slice(1).map((entry, n) => ({ ...entry, may_undo: n === 0 }));
    },
  };
}
