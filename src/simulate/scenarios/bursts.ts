import { draftRequest } from './draft-request.ts';
import { draw } from './spread.ts';
import type { Draft, Shape, Stream } from './stream.ts';

export interface BurstTimes {
  readonly everySeconds: number;
  readonly size: number;
  /** All of a burst arrive within so many seconds. */
  readonly withinSeconds: number;
  /** The first comes after this share of `everySeconds`; a third by default. */
  readonly offset?: number;
}

/** Many requests at once, again and again: a job that starts, a page that asks for everything. */
export function bursts(shape: Shape, times: BurstTimes): Stream {
  const { everySeconds, size, withinSeconds, offset = 1 / 3 } = times;
  return {
    perSecond: size / everySeconds,
    generate: (durationMs, name, random) => {
      const drafts: Draft[] = [];
      for (let start = everySeconds * 1_000 * offset; start < durationMs; start += everySeconds * 1_000) {
        for (let i = 0; i < size; i += 1) {
          const arrivesAt = start + random() * withinSeconds * 1_000;
          const promptTokens = (shape.system ?? 0) + draw(shape.prompt, random);
          const answerTokens = draw(shape.answer, random);
          drafts.push(draftRequest(shape, { arrivesAt, promptTokens, answerTokens, stream: name }, random));
        }
      }
      return drafts;
    },
  };
}
