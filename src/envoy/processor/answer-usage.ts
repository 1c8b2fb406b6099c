import type { Usage } from '../../app/types.ts';
import { count } from '../accesslog/fields.ts';
import { TAP } from '../names.ts';

/** How an answer is written: one object, lines of objects, or events. Each API streams in one of the latter two. */
export type AnswerKind = 'object' | 'lines' | 'events';

/** What the APIs call each figure, Ollama's own word first. */
const WORDS: Readonly<Record<Exclude<(typeof TAP)[keyof typeof TAP], 'error'>, readonly string[]>> = {
  [TAP.promptTokens]: ['"prompt_eval_count"', '"prompt_tokens"', '"input_tokens"'],
  [TAP.completionTokens]: ['"eval_count"', '"completion_tokens"', '"output_tokens"'],
  [TAP.totalNs]: ['"total_duration"'],
  [TAP.loadNs]: ['"load_duration"'],
  [TAP.promptEvalNs]: ['"prompt_eval_duration"'],
  [TAP.evalNs]: ['"eval_duration"'],
};

/**
 * Any of these at the end of an event stream says that it ended as it should. The last one is for a final event of the
 * responses API that is longer than the tail: only that event has it.
 */
const LAST_EVENTS = [
  '[DONE]',
  '"message_stop"',
  '"response.completed"',
  '"response.incomplete"',
  '"output_tokens_details"',
];

/** By its content type; undefined: nothing in it is ours to read. */
export function answerKind(contentType: string): AnswerKind | undefined {
  if (contentType.includes('application/x-ndjson')) return 'lines';
  if (contentType.includes('text/event-stream')) return 'events';
  return contentType.includes('application/json') ? 'object' : undefined;
}

/** The figures in the end of a whole answer: the same that envoy/tap.lua reads where our own Envoy is. */
export function usageIn(tail: string, kind: AnswerKind): Usage {
  return {
    promptTokens: figure(tail, TAP.promptTokens),
    completionTokens: figure(tail, TAP.completionTokens),
    totalMs: milliseconds(tail, TAP.totalNs),
    loadMs: milliseconds(tail, TAP.loadNs),
    promptEvalMs: milliseconds(tail, TAP.promptEvalNs),
    evalMs: milliseconds(tail, TAP.evalNs),
    sawError: kind !== 'object' && !endsWell(tail, kind),
  };
}

/** Whether the last line or event of a stream is the one that it should have. One object does not tell. */
export function endsWell(tail: string, kind: AnswerKind): boolean {
  if (kind === 'object') return false;
  if (kind === 'events') return LAST_EVENTS.some((event) => tail.includes(event));
  const last = lastLine(tail);
  if (last.startsWith('{"error"')) return false;
  return last.includes('"done":true') || last.includes('"total_duration"');
}

function milliseconds(tail: string, name: keyof typeof WORDS): number | undefined {
  const ns = figure(tail, name);
  return ns === undefined ? undefined : ns / 1e6;
}

/** Of the first word that has a number behind it anywhere: the number behind its last place. */
function figure(tail: string, name: keyof typeof WORDS): number | undefined {
  for (const word of WORDS[name]) {
    for (let at = tail.lastIndexOf(word); at >= 0; at = at === 0 ? -1 : tail.lastIndexOf(word, at - 1)) {
      const digits = numberAt(tail, at + word.length);
      if (digits !== undefined) return count(Number(digits));
    }
  }
  return undefined;
}

const NUMBER = /\s*:\s*(\d+)/y;

function numberAt(tail: string, at: number): string | undefined {
  NUMBER.lastIndex = at;
  return NUMBER.exec(tail)?.[1];
}

function lastLine(tail: string): string {
  const trimmed = tail.trimEnd();
  return trimmed.slice(trimmed.lastIndexOf('\n') + 1);
}
