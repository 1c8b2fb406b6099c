import type { ModelKey, NodeView, ResidentModel } from '../../fleet/types.ts';
import { type Question, wantedOf } from '../question.ts';
import { usualHeldSeconds, usualLoadSeconds } from '../service.ts';

/** Other nodes with the model that are looked at. */
const MAX_COPIES = 8;

/**
 * Seconds that others lose when a model is driven out of a node: its reload, times the chance that it is asked for before
 * it would have gone by itself, for all that ask while it loads; less where other nodes have it in memory.
 */
export function lossOf(node: NodeView, model: ResidentModel, isBusy: boolean, question: Question): number {
  const { params } = question;
  const { perSecond, isWaitedFor } = wantedOf(question, model.key);
  const reload = usualLoadSeconds(node, model.key, model.sizeBytes, params);
  const chance =
    isBusy || isWaitedFor ? 1 : Math.max(params.idleReuse, 1 - Math.exp(-perSecond * params.reuseSeconds));
  const followers = 1 + Math.min(params.maxFollowers, (perSecond * reload) / 2);
  return params.knockOn * chance * reload * followers * missedShare(node, model.key, perSecond, question);
}

/** Share of the model's requests that its other copies cannot take. */
function missedShare(node: NodeView, key: ModelKey, perSecond: number, question: Question): number {
  const { snapshot, inflight, params } = question;
  const candidates = snapshot.byModel.candidates(key);
  if (candidates === undefined || candidates.warm.length < 2) return 1;
  let slots = 0;
  let running = 0;
  let looked = 0;
  for (const at of candidates.warm) {
    const other = candidates.nodes[at];
    if (looked === MAX_COPIES) break;
    looked += 1;
    if (other === undefined || other.id === node.id || other.status !== 'ready') continue;
    slots += Math.max(1, other.slots);
    running += inflight.onModel(other.id, key);
  }
  if (slots === 0 || running >= slots) return 1;
  const load = (perSecond * usualHeldSeconds(node, key, params)) / slots;
  return Math.min(1, Math.max(params.elsewhereShare, load));
}
