import type { ToldAbilities } from '../fleet/model-abilities.ts';
import type { ModelOnDisk, NodeId } from '../fleet/types.ts';
import type { AbilityBook, Informant } from './ability-book.ts';

export interface NodeAbilitiesOptions {
  readonly node: NodeId;
  readonly book: AbilityBook;
  readonly ask: Informant['ask'];
  readonly isLive: () => boolean;
  readonly onTold: (digest: string, abilities: ToldAbilities) => void;
}

/** Tells once of each model on one node's disk what it can do, as soon as it is known. */
export class NodeAbilities {
  readonly #options: NodeAbilitiesOptions;
  readonly #informant: Informant;
  #models: readonly ModelOnDisk[] = [];
  /** Digests of `#models` that were told; undefined: all were. */
  #told: Set<string> | undefined;

  constructor(options: NodeAbilitiesOptions) {
    const { node, ask, isLive } = options;
    this.#options = options;
    this.#informant = {
      node,
      ask,
      isLive,
      tell: (digest, abilities) => {
        this.#told?.add(digest);
        options.onTold(digest, abilities);
      },
    };
  }

  /** The node's newest tag list. */
  see(models: readonly ModelOnDisk[]): void {
    if (models === this.#models && this.#told === undefined) return;
    // What was told of a model that is gone is told again should it come back.
    const before = this.#told ?? new Set(this.#models.map(({ digest }) => digest));
    const told = new Set(models.map(({ digest }) => digest).filter((digest) => before.has(digest)));
    this.#told = told;
    this.#models = models;
    this.#options.book.enquire(
      this.#informant,
      models.filter(({ digest }) => !told.has(digest)),
    );
    if (models.every(({ digest }) => digest === '' || told.has(digest))) this.#told = undefined;
  }
}
