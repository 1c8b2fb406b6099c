import type { Random } from '../../app/ports.ts';

/** Mulberry32: small, fast, the same on every machine. Streams of one seed with different names are independent. */
export function seededRandom(seed: number, stream: string = ''): Random {
  let state = seed >>> 0;
  for (let at = 0; at < stream.length; at += 1) state = Math.imul(state ^ stream.charCodeAt(at), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
