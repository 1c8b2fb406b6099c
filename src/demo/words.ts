const SENTENCES = [
  'Here is a warm answer from a simulated node.',
  'The model was already in memory, so the first word came at once.',
  'A cold node would still be reading weights from its disk.',
  'Every request takes the path that is shortest now, not the one that was shortest yesterday.',
  'When a node goes away, the next one in the list carries on before anyone notices.',
  'Ask again, and watch which node answers.',
  'Nothing here was computed by a real model, but the timing is honest.',
  'Load another model and see where it lands.',
] as const;

const WORDS: readonly string[] = SENTENCES.flatMap((sentence) => sentence.split(' '));
const SENTENCE_STARTS: readonly number[] = SENTENCES.map((_, index) =>
  SENTENCES.slice(0, index).reduce((words, sentence) => words + sentence.split(' ').length, 0),
);

/** `count` tokens of pleasant text. Equal prompts get equal answers, on whichever node. */
export function answerTokens(prompt: string, count: number): string[] {
  const start = SENTENCE_STARTS[checksum(prompt) % SENTENCE_STARTS.length] ?? 0;
  return Array.from({ length: count }, (_, index) => ` ${WORDS[(start + index) % WORDS.length]}`);
}

/** A unit vector that depends on the text alone. */
export function embeddingOf(text: string, length: number): number[] {
  let state = checksum(text) | 1;
  const raw = Array.from({ length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
  const norm = Math.hypot(...raw) || 1;
  return raw.map((value) => Number((value / norm).toPrecision(8)));
}

/** FNV-1a over at most the first 64 Ki characters. */
function checksum(text: string): number {
  let hash = 0x811c9dc5;
  const end = Math.min(text.length, 65_536);
  for (let index = 0; index < end; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
