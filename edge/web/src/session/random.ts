const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** A name of 130 random bits in base32: what a device makes offline, nobody else makes too. */
export function randomName(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(26));
  return Array.from(bytes, (byte) => ALPHABET[byte & 31]).join('');
}
