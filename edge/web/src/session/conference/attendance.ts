/** The attendance list as a file: CSV (RFC 4180) as spreadsheet programs of the language open it. */
import type { MediaRole, Stay } from '../../protocol';

export interface Columns {
  name: string;
  role: string;
  from: string;
  to: string;
  minutes: string;
  /** For who is still there. */
  present: string;
  roles: Record<MediaRole, string>;
}

/** What a spreadsheet would take for a formula: a name is only a name (OWASP, CSV injection). */
const FORMULA = /^[=+\-@\t\r]/;
/** Without it spreadsheet programs take UTF-8 for something else. */
const BYTE_ORDER_MARK = '\uFEFF';

function field(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return `"${safe.replaceAll('"', '""')}"`;
}

/** Local time, as ISO 8601 writes it: sorts by itself, and every program reads it. */
function moment(ms: number): string {
  const at = new Date(ms);
  const two = (n: number) => String(n).padStart(2, '0');
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** @param separator `;` where numbers have a decimal comma, else `,` */
export function attendanceCsv(stays: readonly Stay[], columns: Columns, separator: ',' | ';', now: number): string {
  const { name, role, from, to, minutes } = columns;
  const rows = stays.map((stay) => [
    stay.name,
    columns.roles[stay.role],
    moment(stay.from_ms),
    stay.to_ms === null ? columns.present : moment(stay.to_ms),
    String(Math.round(((stay.to_ms ?? now) - stay.from_ms) / 60_000)),
  ]);
  const lines = [[name, role, from, to, minutes], ...rows].map((row) => row.map(field).join(separator));
  return `${BYTE_ORDER_MARK}${lines.join('\r\n')}\r\n`;
}
