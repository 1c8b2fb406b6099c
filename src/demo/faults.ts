/** Which requests a fault meets; everything left out means any. */
export interface FaultScope {
  /** `inference` (default): POSTs that need a model; `reads`: inventory and health; or one exact path. */
  readonly on?: 'inference' | 'reads' | 'all' | `/${string}`;
  /** Model as the request writes it. */
  readonly model?: string;
  /** Number of requests after which the fault is over. */
  readonly times?: number;
}

/** Faults of single requests. Bytes are bytes of the answer's body. */
export type RequestFault = FaultScope &
  (
    | { readonly kind: 'hang' } // reads the request, never answers
    | { readonly kind: 'hang_before_token' } // takes the slot as a stuck runner does; reads stay healthy
    | { readonly kind: 'delay'; readonly ms: number } // answers later, otherwise normally
    | {
        readonly kind: 'reply';
        readonly status: number;
        /** Error text, put in the shape of the API called; or the literal `body`. */
        readonly message?: string;
        readonly body?: string | Buffer | (() => Iterable<string | Buffer>);
        readonly contentType?: string;
        readonly headers?: Readonly<Record<string, string>>;
      }
    | { readonly kind: 'die'; readonly afterBytes: number; readonly how: 'rst' | 'fin' } // 0: before the status line
    | { readonly kind: 'cut_end'; readonly afterTokens: number } // clean end of the body, no final chunk
    | { readonly kind: 'runner_dies'; readonly afterTokens: number } // Ollama's own in-band report of a killed runner
    | { readonly kind: 'raw'; readonly bytes: string | Buffer; readonly ending: 'fin' | 'rst' | 'open' } // any bytes instead of HTTP
    | { readonly kind: 'query_of_death'; readonly word: string; readonly downMs: number } // the process dies of it
  );

/** Faults of the whole node, at its listener. */
export type NodeFault =
  | { readonly kind: 'refuse' } // nobody listens; running requests go on
  | { readonly kind: 'never_accept' }; // full backlog: connects neither succeed nor fail

export type Fault = RequestFault | NodeFault;

export interface FaultTarget {
  readonly path: string;
  readonly isInference: boolean;
  readonly model: string | undefined;
  readonly prompt: string;
}

/** The request faults that are set now. The first that applies is used. */
export class FaultList {
  readonly #active: { readonly fault: RequestFault; left: number }[] = [];

  add(fault: RequestFault): void {
    this.#active.push({ fault, left: fault.times ?? Number.POSITIVE_INFINITY });
  }

  clear(): void {
    this.#active.length = 0;
  }

  /** Counts the request against the fault's `times`. */
  take(target: FaultTarget): RequestFault | undefined {
    const entry = this.#active.find(({ fault, left }) => left > 0 && applies(fault, target));
    if (entry === undefined) return undefined;
    entry.left--;
    return entry.fault;
  }
}

function applies(fault: RequestFault, target: FaultTarget): boolean {
  const on = fault.on ?? 'inference';
  if (on.startsWith('/') && on !== target.path) return false;
  if (on === 'inference' && !target.isInference) return false;
  if (on === 'reads' && target.isInference) return false;
  if (fault.model !== undefined && fault.model !== target.model) return false;
  return fault.kind !== 'query_of_death' || target.prompt.includes(fault.word);
}
