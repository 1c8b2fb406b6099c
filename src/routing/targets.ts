import type { FleetSnapshot } from '../fleet/types.ts';
import { RouterError } from '../request/errors.ts';
import type { ModelName, RouteRequest } from '../request/types.ts';
import { type Capability, missingCapability } from './capabilities.ts';
import { MAX_TARGETS, type ModelAliases } from './rewrite-policy.ts';

/**
 * The models that may answer the request, best first: those of the alias that it names, or the model itself, then the
 * request's own fallbacks, of which aliases stand for their models too. An alias wins over a real model of its name. Models
 * that cannot do what the request needs are left out; unknown ones stay, as nobody knows better. Never empty: throws
 * RouterError `not_capable` where none of those that the fleet has can.
 */
export function targetsOf(
  request: RouteRequest,
  snapshot: FleetSnapshot,
  aliases: ModelAliases,
): readonly ModelName[] {
  const { model, fallbackModels } = request;
  const alias = aliases.size === 0 ? undefined : aliases.get(model.key);
  const wanted = fallbackModels.length === 0 ? (alias?.targets ?? [model]) : withFallbacks(request, aliases);
  let missing: Capability | undefined;
  let able: ModelName[] | undefined;
  for (const [at, target] of wanted.entries()) {
    const lacks = lackedByAll(request, target, snapshot, target.key === model.key);
    if (lacks === undefined) {
      able?.push(target);
      continue;
    }
    missing ??= lacks;
    able ??= wanted.slice(0, at);
  }
  if (able === undefined) return wanted;
  if (able.some(({ key }) => snapshot.byModel.candidates(key) !== undefined)) return able;
  throw new RouterError('not_capable', notCapable(request, missing));
}

function withFallbacks({ model, fallbackModels }: RouteRequest, aliases: ModelAliases): ModelName[] {
  const targets: ModelName[] = [];
  const seen = new Set<string>();
  for (const asked of [model, ...fallbackModels]) {
    for (const target of aliases.get(asked.key)?.targets ?? [asked]) {
      if (targets.length === MAX_TARGETS) return targets;
      if (seen.has(target.key)) continue;
      seen.add(target.key);
      targets.push(target);
    }
  }
  return targets;
}

/** What none of the nodes that have the model can do with it; undefined: one of them can, or nobody knows the model. */
function lackedByAll(
  request: RouteRequest,
  { key }: ModelName,
  { byModel }: FleetSnapshot,
  isNamed: boolean,
): Capability | undefined {
  const candidates = byModel.candidates(key);
  if (candidates === undefined) return undefined;
  const { nodes, knowing } = candidates;
  let lacked: Capability | undefined;
  for (const at of knowing) {
    const model = nodes[at]?.models.get(key);
    const lacks = model && missingCapability(request, model, isNamed);
    if (lacks === undefined) return undefined;
    lacked ??= lacks;
  }
  return lacked;
}

/** Ollama's sentence for what a model cannot do. */
function notCapable({ model, endpoint }: RouteRequest, missing: Capability | undefined): string {
  const what =
    missing === 'completion' ? endpoint.operation : missing === 'embedding' ? 'embeddings' : missing;
  return `"${model.raw}" does not support ${what}`;
}
