import { isoSeconds } from './iso-time.ts';
import type { Learnt, ModelKey, ResidentModel } from './types.ts';

/** Ollama waits up to 5 s for the driver to give memory back before it loads what it made room for. */
const SAME_EVENT_MS = 10_000;

/**
 * What a node's list of loaded models teaches of its VRAM, which Ollama tells nowhere.
 *
 * All that is in memory at once fits: the largest sum seen is a lower bound. Where a model goes before its time and another
 * comes right after it, the two did not fit together: what was there before, with the newcomer, is an upper bound. When a
 * model's time is up is for the node's own clock to say (`nodeTime`); without it nothing is learnt from its going. Ollama
 * also makes room when it holds too many models (OLLAMA_MAX_LOADED_MODELS), and people unload by hand, so an upper bound
 * counts only until something larger is seen to fit.
 */
export function vramAfter(
  learnt: Learnt,
  before: ReadonlyMap<ModelKey, ResidentModel>,
  models: readonly ResidentModel[],
  nodeTime: number | undefined,
  now: number,
): Learnt {
  let usedBytes = 0;
  for (const model of models) usedBytes += model.vramBytes;
  const maxVramSeenBytes = Math.max(learnt.maxVramSeenBytes, usedBytes);
  const left = leftAfter(learnt.vramLeft, before, models, nodeTime, now);
  const comer = left && models.filter(({ key, vramBytes }) => !before.has(key) && vramBytes > 0);
  const hasCome = comer !== undefined && comer.length > 0;
  // A model that returns made room for itself: it was loaded with another context.
  const isEviction = hasCome && left !== undefined && !comer.some(({ key }) => key === left.gone);
  const seen = isEviction ? left.bytes + sumOf(comer) : Number.POSITIVE_INFINITY;
  const ceiling = Math.min(learnt.vramCeilingBytes ?? Number.POSITIVE_INFINITY, seen);
  const vramCeilingBytes =
    ceiling > maxVramSeenBytes && ceiling < Number.POSITIVE_INFINITY ? ceiling : undefined;
  const vramLeft = hasCome ? undefined : left;
  const isSame =
    maxVramSeenBytes === learnt.maxVramSeenBytes &&
    vramLeft === learnt.vramLeft &&
    vramCeilingBytes === learnt.vramCeilingBytes;
  return isSame ? learnt : { ...learnt, maxVramSeenBytes, vramLeft, vramCeilingBytes };
}

/** What was in memory before a model went too early, now or just before. */
function leftAfter(
  known: Learnt['vramLeft'],
  before: ReadonlyMap<ModelKey, ResidentModel>,
  models: readonly ResidentModel[],
  nodeTime: number | undefined,
  now: number,
): Learnt['vramLeft'] {
  const recent = known !== undefined && now - known.at <= SAME_EVENT_MS ? known : undefined;
  if (nodeTime === undefined || before.size === 0) return recent;
  const listed = new Set(models.map(({ key }) => key));
  for (const { key, vramBytes, expiresAt } of before.values()) {
    if (listed.has(key) || vramBytes === 0 || isoSeconds(expiresAt) <= nodeTime) continue;
    return { bytes: sumOf(before.values()), gone: key, at: now };
  }
  return recent;
}

function sumOf(models: Iterable<ResidentModel>): number {
  let bytes = 0;
  for (const model of models) bytes += model.vramBytes;
  return bytes;
}
