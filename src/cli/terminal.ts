import { stripVTControlCharacters, styleText } from 'node:util';
import { escapeControl } from '../telemetry/escape-control.ts';
import type { Io, Output } from './io.ts';

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';
/** Text in a style, or as it is where colour is off. */
export type Paint = (style: Style, text: string) => string;

const MIN_COLUMNS = 60;

/** Colour on a terminal only, and not where NO_COLOR (any value but the empty one) asks for none. */
export function createPaint(output: Output, env: Io['env']): Paint {
  const isColored = output.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb';
  return (style, text) =>
    isColored && text !== '' ? styleText(style, text, { validateStream: false }) : text;
}

/** Text that others chose, fit for a terminal: no escape sequences, no control characters. */
export function displayText(text: string): string {
  return escapeControl(stripVTControlCharacters(text));
}

/** A file or a pipe is as wide as it needs to be: what reads it wants whole names. */
export function columnsOf(output: Output): number {
  return Math.max(MIN_COLUMNS, output.columns ?? Number.POSITIVE_INFINITY);
}
