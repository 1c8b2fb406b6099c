import type { ToldAbilities } from '../fleet/model-abilities.ts';
import { PollError } from './poll-error.ts';
import { contextLength, record } from './schemas.ts';
import { SharedValues } from './shared-values.ts';

const MAX_CAPABILITIES = 16;
/** Families of models that embed and do nothing else, for nodes that do not tell what models can do (before 0.6.4). */
const EMBEDDING_FAMILIES: ReadonlySet<unknown> = new Set([
  'bert',
  'nomic-bert',
  'nomic-bert-moe',
  'jina-bert-v2',
]);
/** Fleets have few different ones. */
const all = new SharedValues<ToldAbilities>();

/** What a model can do, from the answer of /api/show; undefined where the node is too old to say. Throws PollError. */
export function parseShow(json: unknown): ToldAbilities | undefined {
  const answer = record(json);
  if (answer === undefined) throw new PollError('bad_answer', 'no description of a model in it');
  const capabilities = capabilitiesOf(answer.capabilities) ?? guessedFrom(record(answer.details)?.family);
  if (capabilities === undefined) return undefined;
  const info = record(answer.model_info) ?? {};
  const trainedContext = contextLength(info[`${info['general.architecture']}.context_length`]);
  const told = { capabilities, trainedContext };
  return all.share(JSON.stringify(told), told);
}

function capabilitiesOf(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const words = value.filter(
    (word): word is string => typeof word === 'string' && /^[a-z][a-z_-]{0,31}$/.test(word),
  );
  return [...new Set(words)].slice(0, MAX_CAPABILITIES);
}

function guessedFrom(family: unknown): readonly string[] | undefined {
  return EMBEDDING_FAMILIES.has(family) ? ['embedding'] : undefined;
}
