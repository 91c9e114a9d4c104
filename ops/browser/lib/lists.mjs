/** Lists of people as a school's administration exports them. */

/** What CP1252 has where Latin-1 has control characters, as far as names need it. */
const CP1252 = { 'Š': 0x8a, 'š': 0x9a, 'Ž': 0x8e, 'ž': 0x9e, 'Ÿ': 0x9f, 'Œ': 0x8c, 'œ': 0x9c };

/** @param {string} text @returns {Buffer} in Windows-1252, as a spreadsheet saves CSV in Germany */
export function cp1252(text) {
  return Buffer.from([...text].map((char) => {
    const byte = CP1252[char] ?? char.codePointAt(0);
    if (byte > 0xff) throw new Error(`CP1252 has no ${char}`);
    return byte;
  }));
}

const FIRST = ['Jürgen', 'Änne', 'Zoë', 'Željka', 'Björn', 'Anaïs', 'Søren', 'Käthe', 'Renée', 'Jörn'];
const LAST = ['Müßig', 'Größ', 'Šimic', 'von der Heyde', 'Weiß-Schönau', 'Öztürk'];
const HEADER = 'Schüler-ID;Nachname;Vorname;Klasse;Geburtsdatum';

/**
 * Thirty pupils in two classes, with numbers, and a column that nobody needs.
 * @param {{ classes: [string, string], first: number }} which `first`: number of the first pupil, so that lists differ
 * @returns {{ number: string, last: string, first: string, class: string }[]}
 */
export function pupils({ classes, first }) {
  return Array.from({ length: 30 }, (_, n) => ({
    number: String(first + n),
    last: LAST[n % LAST.length],
    first: FIRST[(n * 7) % FIRST.length],
    class: classes[n % 2],
  }));
}

/** @param {ReturnType<typeof pupils>} people @returns {Buffer} */
export function listOf(people) {
  const rows = people.map((person) => [person.number, person.last, person.first, person.class, '01.02.2014'].join(';'));
  return cp1252(`${[HEADER, ...rows].join('\r\n')}\r\n`);
}
