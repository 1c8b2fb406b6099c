import type { Random } from '../../app/ports.ts';
import { draftRequest, hashOf } from './draft-request.ts';
import { draw, pause, type Spread } from './spread.ts';
import type { Draft, Shape, Stream } from './stream.ts';

export interface SessionTimes {
  /** New conversations per second. */
  readonly startsPerSecond: number;
  readonly turns: Spread;
  /** Seconds between an answer's end and the next question. */
  readonly think: Spread;
  /** No prompt grows beyond: the client drops what is older by starting anew. */
  readonly maxPromptTokens: number;
}

/** Conversations: each turn sends all earlier ones again, after its person has read the answer. */
export function sessions(shape: Shape, times: SessionTimes): Stream {
  return {
    perSecond: times.startsPerSecond * meanOf(times.turns),
    generate: (durationMs, name, random) => {
      const drafts: Draft[] = [];
      let number = 0;
      for (
        let at = pause(times.startsPerSecond, random);
        at < durationMs;
        at += pause(times.startsPerSecond, random)
      ) {
        number += 1;
        drafts.push(...conversation(shape, times, { at, name, number }, random));
      }
      return drafts;
    },
  };
}

function conversation(
  shape: Shape,
  times: SessionTimes,
  { at, name, number }: { at: number; name: string; number: number },
  random: Random,
): Draft[] {
  const id = hashOf(`${name} session ${number}`);
  const system = shape.system ?? 0;
  const beginnings = system > 0 ? [{ hash: hashOf(`${name} system`), tokens: system }] : [];
  const drafts: Draft[] = [];
  let before = system;
  let arrivesAt = at;
  for (let turn = draw(times.turns, random); turn > 0; turn -= 1) {
    const promptTokens = before + draw(shape.prompt, random);
    const answerTokens = draw(shape.answer, random);
    if (promptTokens + answerTokens > times.maxPromptTokens) break;
    const previous = drafts.at(-1);
    const thinkMs = draw(times.think, random) * 1_000;
    if (previous !== undefined) arrivesAt += thinkMs;
    const turnName = `${name} session ${number} turn ${drafts.length}`;
    beginnings.push({ hash: hashOf(`${turnName} question`), tokens: promptTokens });
    drafts.push(
      draftRequest(
        shape,
        {
          arrivesAt,
          promptTokens,
          answerTokens,
          stream: name,
          conversation: {
            id,
            beginnings: [...beginnings],
            sharedTokens: previous === undefined ? 0 : before,
          },
          after: previous === undefined ? undefined : { draft: previous, thinkMs },
        },
        random,
      ),
    );
    before = promptTokens + answerTokens;
    beginnings.push({ hash: hashOf(`${turnName} answer`), tokens: before });
  }
  return drafts;
}

/** Of a log-normal figure that is hardly cut off. */
function meanOf({ median, sigma = 0.7 }: Spread): number {
  return median * Math.exp(sigma ** 2 / 2);
}
