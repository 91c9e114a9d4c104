const HUES = 8;

/** One of eight colours, the same for an id everywhere. */
export function hue(id: string): number {
  let hash = 7;
  for (const char of id) hash = (hash * 31 + (char.codePointAt(0) ?? 0)) >>> 0;
  return hash % HUES;
}

/** `Anna-Lena Weber` -> `AW`, `Klasse 7a` -> `7a`, `Mathematik` -> `Ma` */
export function initials(name: string, group: boolean): string {
  const words = name.trim().split(/\s+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const first = words[0] ?? '?';
  if (group) {
    const short = words.find((word) => /\p{N}/u.test(word) && /\p{L}/u.test(word) && word.length <= 3);
    if (short) return short;
    return [...first].slice(0, 2).join('');
  }
  const letter = (word: string) => [...word][0]?.toLocaleUpperCase() ?? '';
  return words.length > 1 ? letter(first) + letter(words.at(-1) ?? '') : letter(first);
}
