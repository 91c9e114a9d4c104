// schulhof-mock: a made-up school, to look at the client without a box. Never part of the product.
const HLC = 1024;
export const hlc = (ms) => Math.floor(ms) * HLC;

const names = [
  ['lehmann', 'Frau Lehmann', 'teacher'],
  ['okafor', 'Herr Okafor', 'teacher'],
  ['brandt', 'Dr. Katrin Brandt', 'teacher'],
  ['mia', 'Mia Schneider', 'pupil'],
  ['emre', 'Emre Yıldız', 'pupil'],
  ['sofia', 'Sofia Kowalczyk', 'pupil'],
  ['jonas', 'Jonas Weber', 'pupil'],
  ['lena', 'Lena Hoffmann', 'pupil'],
  ['olena', 'Олена Шевченко', 'pupil'],
  ['finn', 'Finn Petersen', 'pupil'],
  ['amira', 'Amira Haddad', 'pupil'],
  ['paul', 'Paul Neumann', 'pupil'],
  ['hoffmann', 'Petra Hoffmann', 'admin'],
];

export const people = names.map(([account, name, role]) => ({
  account,
  name,
  role,
  groups: role === 'pupil' ? ['7a', 'ma-7'] : role === 'teacher' ? ['staff', '7a'] : [],
  may_write: true,
}));

const nameOf = (account) => people.find((person) => person.account === account)?.name ?? account;

export const groups = [
  { group: '7a', name: 'Klasse 7a', kind: 'class' },
  { group: 'ma-7', name: 'Mathematik 7', kind: 'course' },
  { group: 'ag', name: 'AG Schülerzeitung', kind: 'course' },
];

/** The state of one run; `me` is who signs in. */
export function school({ me = 'lehmann', empty = false, now = Date.now() } = {}) {
  let index = 1000;
  let seq = 0;
  const day = 86_400_000;
  const at = new Date(now);
  const morning = (daysAgo, h, m) => new Date(at.getFullYear(), at.getMonth(), at.getDate() - daysAgo, h, m).getTime();
  const messages = new Map();
  const say = (room, author, ms, text) => {
    const list = messages.get(room) ?? [];
    messages.set(room, list);
    list.push({ room, device: `d-${author}`, seq: (seq += 1), index: (index += 1), author, author_name: nameOf(author), text, at: hlc(ms) });
  };
  const lines = [
    'Die Hausaufgaben stehen im Heft auf Seite 42.', 'Danke!', 'Wann schreiben wir die Arbeit?', 'Am Donnerstag in der dritten Stunde.',
    'Kann mir jemand das Arbeitsblatt schicken?', 'Liegt im Klassenraum auf dem Fensterbrett.', 'Ich bin heute leider krank und kann nicht kommen.',
    'Gute Besserung!', 'Der Ausflug ins Museum ist am 12.; bitte 4 € und ein Lunchpaket mitbringen. Treffpunkt ist um 7:45 Uhr am Haupteingang.',
  ];
  if (!empty) {
    for (let i = 0; i < 400; i += 1) {
      say('7a', names[(i * 7) % names.length][0], now - 12 * day + i * 35 * 60_000 * 0.68, lines[(i * 5) % lines.length]);
    }
    say('7a', 'mia', morning(0, 7, 41), 'Guten Morgen! Haben wir heute in Raum 204 oder im Computerraum?');
    say('7a', 'lehmann', morning(0, 7, 44), 'Guten Morgen Mia, im Computerraum. Bitte seid pünktlich – wir starten gleich mit der Konferenz, damit alle, die zu Hause sind, auch dabei sein können.');
    say('7a', 'emre', morning(0, 7, 45), 'Super, ich bin von zu Hause dabei 👍');
    say('7a', 'emre', morning(0, 7, 45), 'Link zum Arbeitsblatt: https://example.org/blatt-7a.pdf');
    say('7a', 'sofia', morning(0, 7, 47), 'Ich auch!');
    say('staff', 'brandt', morning(1, 15, 12), 'Die Notenkonferenz beginnt am Mittwoch um 14 Uhr in der Aula.');
    say('staff', 'okafor', morning(0, 7, 20), 'Ich übernehme heute die Vertretung in der 8b.');
    say('ma-7', 'jonas', morning(1, 16, 2), 'Ist bei Aufgabe 3b nicht ein Minus vergessen?');
    say('ma-7', 'lehmann', morning(1, 16, 30), 'Gut gesehen, Jonas. Richtig ist −12.');
    say('dm-mia', 'mia', morning(0, 7, 52), 'Frau Lehmann, darf ich heute etwas früher gehen? Ich habe einen Zahnarzttermin.');
    say('dm-okafor', 'okafor', morning(3, 11, 0), 'Können wir den Beamer tauschen?');
    say('ag', 'amira', morning(4, 13, 15), 'Redaktionsschluss ist Freitag!');
  }
  const conference = (id, room, title, ms) => ({
    conference: id, room, room_name: rooms.get(room)?.name ?? room, title, opened_by: 'lehmann', opened_by_name: 'Frau Lehmann',
    at: hlc(ms), open: true, expected: 28, may_close: me === 'lehmann',
  });
  const rooms = new Map();
  const room = (id, kind, name, members, more = {}) => {
    const list = messages.get(id) ?? [];
    const unread = more.unread ?? 0;
    rooms.set(id, {
      room: id, kind, name, members, with: null, unread, read_upto: list.at(-1 - unread)?.index ?? 0, last: list.at(-1) ?? null,
      may_write: true, may_open_conference: kind !== 'direct', conferences: [], ...more,
    });
  };
  if (!empty) {
    room('7a', 'group', 'Klasse 7a', 28, { unread: 3 });
    room('ma-7', 'group', 'Mathematik 7', 26);
    room('staff', 'group', 'Kollegium', 64, { unread: 1 });
    room('ag', 'free', 'AG Schülerzeitung', 9, { may_write: true });
    room('dm-mia', 'direct', 'Mia Schneider', 2, { with: 'mia', unread: 1, may_open_conference: false });
    room('dm-okafor', 'direct', 'Herr Okafor', 2, { with: 'okafor', may_open_conference: false });
    room('news', 'free', 'Mitteilungen der Schulleitung', 812, { may_write: false, may_open_conference: false });
    rooms.get('7a').conferences.push(conference('conf-7a', '7a', 'Erdkunde: Vulkane', morning(0, 7, 55)));
  }
  return {
    me, rooms, messages, conference, nameOf,
    session: {
      account: me, login: me, name: nameOf(me), role: people.find((p) => p.account === me)?.role ?? 'pupil', school: 'nord',
      school_name: 'Gymnasium Nord', served_by: 'nord', served_by_kind: 'box', core_online: true,
    },
    nextIndex: () => (index += 1),
    head: () => index,
  };
}

const MAY = { microphone: true, camera: true, screen: true };

/** The people of the made-up conference, as a media node would name them. */
export function roster(me, count = 7) {
  const others = names.filter(([account]) => account !== me).slice(0, count - 1);
  return [
    { id: 'p-me', account: me, name: nameOf(me), role: 'moderator', microphone: true, camera: true, screen: false, hand: null, muted: false, may: MAY },
    ...others.map(([account, name], i) => ({
      id: `p-${account}`, account, name, role: 'participant', microphone: i % 3 !== 1, camera: i % 4 !== 2, screen: false, hand: i === 3 ? 1 : null, muted: false, may: MAY,
    })),
  ];
}
