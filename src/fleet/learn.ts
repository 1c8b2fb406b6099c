import { NO_FIGURES } from './figures.ts';
import { anyContextKey, figuresKey, NODE_FIGURES_KEY } from './figures-key.ts';
import { freshReports, slotsOf } from './gpu.ts';
import { figuresAfter, nodeSamples } from './learn-figures.ts';
import { type Samples, samplesOf, WARM_LOAD_MS } from './learn-samples.ts';
import { probeAfterFailure, type SlotLesson, slotLesson } from './learn-slots.ts';
import type { FiguresByModel, Learnt, ModelFigures, ModelKey, NodeRecord, ServiceTimes } from './types.ts';

/** Of one node: about 250 pairs of model and context. The longest untouched go first. */
export const MAX_FIGURES = 512;
/** Below this size a load is all process start and says nothing of the rate. */
const MIN_LOAD_BYTES = 64 * 1024 ** 2;
/** Part of a load that does not depend on the size: process start, probing of the GPUs. */
const LOAD_START_MS = 500;
const MIN_RATE = 1024 ** 2;
const MAX_RATE = 100 * 1024 ** 3;
/** A load may contain a wait for other requests to end, so fast ones tell more of the disk than slow ones. */
const FASTER_WEIGHT = 0.5;
const SLOWER_WEIGHT = 0.2;

/** What one served request teaches of its node. `now`: monotonic ms. */
export function learn(node: NodeRecord, model: ModelKey, service: ServiceTimes, now: number): Learnt {
  const { learnt } = node;
  if (service.isWork === false) return learnt;
  const exactKey = figuresKey(model, service.numCtx);
  const anyKey = anyContextKey(model);
  const exact = learnt.figures.get(exactKey);
  const any = learnt.figures.get(anyKey);
  const known = exact ?? any ?? NO_FIGURES;
  const believed = any?.slots ?? learnt.slots;
  const lesson = slotLesson(believed, service, known, learnt.slotDoubts);
  const told = slotsOf(node, freshReports(node.gpu, now));
  const samples = samplesOf(service, known, told.source === 'learnt' ? lesson.slots : told.slots);
  const at = service.endedAt ?? 0;
  const sizeBytes = node.models.get(model)?.sizeBytes;

  const figures = new Map(learnt.figures);
  const slots = lesson.trial === undefined ? any?.slots : lesson.slots;
  put(
    figures,
    NODE_FIGURES_KEY,
    figuresAfter(figures.get(NODE_FIGURES_KEY), nodeSamples(samples, sizeBytes), at),
  );
  put(figures, anyKey, { ...figuresAfter(any, samples, at), slots });
  const defaultContext = defaultContextAfter(exact, node, model, service);
  put(figures, exactKey, { ...figuresAfter(exact, samples, at), slots, defaultContext });
  for (const oldest of figures.keys()) {
    if (figures.size <= MAX_FIGURES) break;
    figures.delete(oldest);
  }
  return {
    ...learnt,
    ...probesAfter(learnt, lesson, now),
    figures,
    slots: lesson.trial === undefined ? learnt.slots : mostSlots(figures),
    slotDoubts: lesson.doubts ?? learnt.slotDoubts,
    loadBytesPerSecond: loadRateAfter(learnt.loadBytesPerSecond, sizeBytes, samples),
  };
}

/** At the end: the first entry is the one longest untouched. */
function put(figures: Map<string, ModelFigures>, key: string, next: ModelFigures): void {
  figures.delete(key);
  figures.set(key, next);
}

/** A node has as many slots as any of its models has shown; a model that has shown none yet may have all of them. */
function mostSlots(figures: FiguresByModel): number {
  let most = 1;
  for (const { slots } of figures.values()) if (slots !== undefined && slots > most) most = slots;
  return most;
}

/** Trials that were sent before a pause began do not lengthen it. */
function probesAfter(
  { probeSlotsAt, failedProbes }: Learnt,
  { trial }: SlotLesson,
  now: number,
): Pick<Learnt, 'probeSlotsAt' | 'failedProbes'> {
  if (trial === 'passed') return { probeSlotsAt: Math.min(probeSlotsAt, now), failedProbes: 0 };
  if (trial !== 'failed' || now < probeSlotsAt) return { probeSlotsAt, failedProbes };
  return { probeSlotsAt: probeAfterFailure(failedProbes, now), failedProbes: failedProbes + 1 };
}

/**
 * What a request without `num_ctx` got: it was warm, so the node did not reload the model for it, and the list of loaded
 * models says with which context it is loaded.
 */
function defaultContextAfter(
  known: ModelFigures | undefined,
  node: NodeRecord,
  model: ModelKey,
  { numCtx, wasWarm, loadMs }: ServiceTimes,
): number | undefined {
  if (numCtx !== undefined || !wasWarm || loadMs === undefined || loadMs > WARM_LOAD_MS)
    return known?.defaultContext;
  return node.resident.get(model)?.contextLength ?? known?.defaultContext;
}

function loadRateAfter(
  known: number | undefined,
  sizeBytes: number | undefined,
  { loadMs }: Samples,
): number | undefined {
  if (loadMs === undefined || sizeBytes === undefined || sizeBytes < MIN_LOAD_BYTES) return known;
  const readingMs = Math.max(loadMs.value - LOAD_START_MS, loadMs.value / 10);
  const sample = Math.min(MAX_RATE, Math.max(MIN_RATE, (sizeBytes / readingMs) * 1000));
  if (known === undefined) return sample;
  const weight = sample > known ? FASTER_WEIGHT : SLOWER_WEIGHT;
  return known + (sample - known) * weight;
}
