import { modelKey, parseModelName } from '../request/model-name.ts';
import type { ModelName } from '../request/types.ts';
import { type Alias, MAX_TARGETS, type ModelAliases } from './rewrite-policy.ts';

/** Names as the configuration has them, each with its models, best first. All are names of models. */
export type AliasSettings = Readonly<Record<string, readonly string[]>>;

export interface AliasProblem {
  readonly name: string;
  readonly message: string;
}

/**
 * The aliases with their models settled: a name in a list that is an alias itself stands for its models, but for the alias's own
 * name, which is the real model: `llama3: [llama3, qwen3]` falls back. Entries with problems are left out.
 */
export function aliasesFrom(settings: AliasSettings): {
  readonly aliases: ModelAliases;
  readonly problems: readonly AliasProblem[];
} {
  const lists = new Map<string, { readonly name: string; readonly models: readonly string[] }>();
  const problems: AliasProblem[] = [];
  for (const [name, models] of Object.entries(settings)) {
    const key = modelKey(name);
    if (key === undefined) continue;
    const other = lists.get(key);
    if (other === undefined) lists.set(key, { name, models });
    else problems.push({ name, message: `is the same name as "${other.name}"` });
  }
  const aliases = new Map<string, Alias>();
  const settled = new Map<string, Settled>();
  for (const [key, { name }] of lists) {
    const { targets, circle } = settle(key, []);
    if (circle !== undefined)
      problems.push({ name, message: `goes round in a circle: ${circle.join(' → ')}` });
    else if (targets.every((target) => target.key === key))
      problems.push({ name, message: 'stands for itself only; name another model, or leave it out' });
    else aliases.set(key, { name: parseModelName(name), targets });
  }
  return { aliases, problems };

  /** Each alias once, however many lead to it. `way`: the names that led here. */
  function settle(key: string, way: readonly string[]): Settled {
    const known = settled.get(key);
    if (known !== undefined) return known;
    const { name = '', models = [] } = lists.get(key) ?? {};
    if (way.includes(name)) return { targets: [], circle: [...way, name] };
    const targets = new Map<string, ModelName>();
    let circle: readonly string[] | undefined;
    for (const model of models) {
      const target = parseModelName(model);
      const isAlias = target.key !== key && lists.has(target.key);
      const next = isAlias ? settle(target.key, [...way, name]) : { targets: [target], circle: undefined };
      circle ??= next.circle;
      for (const each of next.targets) if (!targets.has(each.key)) targets.set(each.key, each);
    }
    const result = { targets: [...targets.values()].slice(0, MAX_TARGETS), circle };
    settled.set(key, result);
    return result;
  }
}

interface Settled {
  readonly targets: readonly ModelName[];
  /** The names that lead back to one of them. */
  readonly circle: readonly string[] | undefined;
}
