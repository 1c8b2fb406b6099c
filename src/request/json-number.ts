/** `-? (0 | [1-9][0-9]*) (\.[0-9]+)? ([eE][+-]?[0-9]+)?` as a table, so that a number can be read in slices. */
const MINUS = 1;
const ZERO = 2;
const INTEGER = 3;
const POINT = 4;
const FRACTION = 5;
const EXPONENT_MARK = 6;
const EXPONENT_SIGN = 7;
const EXPONENT = 8;
const STATES = 9;

/** No number goes on here: either it ended or it never began. */
export const NUMBER_END = 0;

const NEXT = new Uint8Array(STATES * 256);

function define(from: number, characters: string, to: number): void {
  for (const character of characters) NEXT[from * 256 + character.charCodeAt(0)] = to;
}

const START = 0;
for (const state of [START, MINUS]) {
  define(state, '0', ZERO);
  define(state, '123456789', INTEGER);
}
define(START, '-', MINUS);
define(INTEGER, '0123456789', INTEGER);
for (const state of [ZERO, INTEGER]) define(state, '.', POINT);
for (const state of [POINT, FRACTION]) define(state, '0123456789', FRACTION);
for (const state of [ZERO, INTEGER, FRACTION]) define(state, 'eE', EXPONENT_MARK);
define(EXPONENT_MARK, '+-', EXPONENT_SIGN);
for (const state of [EXPONENT_MARK, EXPONENT_SIGN, EXPONENT]) define(state, '0123456789', EXPONENT);

/** The state after a number's first byte; NUMBER_END where no number begins so. */
export function firstNumberState(byte: number): number {
  return nextNumberState(START, byte);
}

/** The state after one more byte; NUMBER_END where the byte does not belong to the number. */
export function nextNumberState(state: number, byte: number): number {
  return NEXT[state * 256 + byte] ?? NUMBER_END;
}

/** Whether a number may end in this state. */
export function acceptsEnd(state: number): boolean {
  return state === ZERO || state === INTEGER || state === FRACTION || state === EXPONENT;
}
