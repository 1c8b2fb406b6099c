import { draftRequest } from './draft-request.ts';
import { draw, pause } from './spread.ts';
import type { Draft, Shape, Stream } from './stream.ts';

/** Independent arrivals at that mean rate; `wave` is how many times the mean it is at a moment in [0, 1) of the scenario. */
export function steady(
  shape: Shape,
  perSecond: number,
  wave: (progress: number) => number = () => 1,
): Stream {
  return {
    perSecond,
    generate: (durationMs, name, random) => {
      const peak = Math.max(...Array.from({ length: 200 }, (_, i) => wave(i / 200)));
      const drafts: Draft[] = [];
      for (let at = pause(perSecond * peak, random); at < durationMs; at += pause(perSecond * peak, random)) {
        // Arrivals at the peak's rate, thinned out to that of the moment.
        if (random() * peak >= wave(at / durationMs)) continue;
        const promptTokens = (shape.system ?? 0) + draw(shape.prompt, random);
        const answerTokens = draw(shape.answer, random);
        drafts.push(draftRequest(shape, { arrivesAt: at, promptTokens, answerTokens, stream: name }, random));
      }
      return drafts;
    },
  };
}

/** Nights and two busy times a day; on average 1. */
export function dayWave(progress: number): number {
  const hour = progress * 24;
  const bump = (middle: number, width: number) => Math.exp(-(((hour - middle) / width) ** 2));
  return 0.3 + 1.5 * (bump(10.5, 3) + bump(20, 3.5));
}
