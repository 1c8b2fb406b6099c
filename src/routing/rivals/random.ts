import { first } from './fit.ts';
import type { RivalPolicy } from './types.ts';

/** Any node that has the model: what Open WebUI does with several Ollama addresses. */
export function random(): RivalPolicy {
  return {
    name: 'random',
    queue: 'node',
    choose: (_request, situation) =>
      (situation.fit[Math.floor(situation.random() * situation.fit.length)] ?? first(situation)).id,
  };
}
