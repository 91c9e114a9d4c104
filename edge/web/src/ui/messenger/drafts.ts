/** What is begun in a room and not sent: kept while the page lives. */
export const drafts = new Map<string, string>();

/** A message has no control characters besides newline and tab, and no empty ends. */
export function clean(text: string): string {
  return text
    .replace(/\r\n?/g, '\n')
    .replace(/[^\P{Cc}\n\t]/gu, '')
    .trim();
}
