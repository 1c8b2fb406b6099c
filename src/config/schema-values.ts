import * as z from 'zod';
import { shown } from './shown.ts';

/** What the settings' values are made of: each with a message that says what is expected. */

const NAME = /^[A-Za-z0-9._-]{1,64}$/;
export const NAME_RULE = '1 to 64 letters, digits, dots, dashes or underscores';

export const name = z.string('expected a name').regex(NAME, `expected ${NAME_RULE}`);
export const labelKey = z.string().regex(NAME, `a label's key has ${NAME_RULE}`);
export const text = (what: string) =>
  z.string(`expected ${what}`).min(1, `expected ${what}, got ""`).max(4_096, 'is too long');
export const number = (what: string, min: number, max: number) =>
  z.number(`expected ${what}`).min(min, `expected ${what}`).max(max, `expected ${what}`);
export const whole = (min: number, max: number) => {
  const what = `expected a whole number from ${min} to ${max}`;
  return z.int(what).min(min, what).max(max, what);
};
export const flag = z.boolean('expected true or false');

/** Short ones could be guessed over the network. */
export const GUARD_TOKEN = /^[\x21-\x7e]{16,4096}$/;
export const guardToken = z
  .string('expected a text')
  .regex(GUARD_TOKEN, 'expected 16 or more visible ASCII characters without blanks');

export function section<Shape extends z.ZodRawShape>(shape: Shape) {
  // `{}` lacks no key: every key of a section has a default or is optional.
  return z
    .strictObject(shape, 'expected a section of KEY: VALUE')
    .prefault({} as z.input<z.ZodObject<Shape>>);
}

export function oneOf<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.enum(words, {
    error: (issue) => `expected one of ${words.join(', ')}, got ${shown(issue.input)}`,
  });
}

/** The same where `off` is among them: some YAML tools, Helm's for one, write false for it. */
export function oneOfOrOff<const Words extends readonly [string, ...string[]]>(words: Words) {
  return z.preprocess((value) => (value === false ? 'off' : value), oneOf(words));
}
