/**
 * A regular expression (RE2, which has no look-ahead) for every text that begins with `prefix`, but those of `words`.
 * Each step of a word is one way to leave it: by another character, or by ending too early.
 */
export function anyBut(prefix: string, words: readonly string[]): string {
  const rests = words.filter((word) => word.startsWith(prefix)).map((word) => word.slice(prefix.length));
  return `${escaped(prefix)}${complement(rests)}`;
}

/** All texts but `words`. */
function complement(words: readonly string[]): string {
  const firsts = [...new Set(words.filter((word) => word !== '').map((word) => word.charAt(0)))];
  if (firsts.length === 0) return words.includes('') ? '.+' : '.*';
  const ways = firsts.map((first) => {
    const rests = words.filter((word) => word.startsWith(first)).map((word) => word.slice(1));
    return `${escaped(first)}${complement(rests)}`;
  });
  ways.push(`[^${firsts.map(escaped).join('')}].*`);
  if (!words.includes('')) ways.push('');
  return `(?:${ways.join('|')})`;
}

function escaped(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|-]/g, '\\$&');
}
