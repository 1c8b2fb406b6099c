import type { Random } from '../ports.ts';

/**
 * The chance of one decision, from its id: whoever has the id and the situation makes the same decision again. FNV-1a of the
 * id seeds Mulberry32. The id is given before the first ranking and kept while the request waits.
 */
export function seededBy(id: string): Random {
  let state = 0x811c9dc5;
  for (let i = 0; i < id.length; i += 1) state = Math.imul(state ^ id.charCodeAt(i), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
