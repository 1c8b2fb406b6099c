import type { Random } from '../../app/ports.ts';
import type { RequestClass } from '../../waiting/types.ts';
import type { SimRequest } from '../types.ts';
import type { Spread } from './spread.ts';

/** What the requests of one stream have in common. */
export interface Shape {
  readonly model: string;
  /** `/api/chat` by default. */
  readonly path?: string;
  /** So many different clients, `name-1` and so on; one by default. */
  readonly callers: { readonly name: string; readonly count?: number };
  /** `normal` by default. */
  readonly class?: RequestClass;
  /** Tokens of what is new in each prompt. */
  readonly prompt: Spread;
  readonly answer: Spread;
  /** Tokens of the system prompt that all of the stream have in common; 0 by default. */
  readonly system?: number;
  readonly numCtx?: number;
  /** Longest time in a waiting line, ms: ten minutes by default, longer than any of these waits. */
  readonly maxWaitMs?: number;
  readonly patienceMs?: number;
}

/** A request before it has its place in the workload; `after`: the one that its client waits for first. */
export interface Draft extends Omit<SimRequest, 'id' | 'follows'> {
  readonly after?: { readonly draft: Draft; readonly thinkMs: number } | undefined;
}

/** Requests of one kind over time. */
export interface Stream {
  /** Expected requests per second over the whole scenario. */
  readonly perSecond: number;
  /** `name` tells this stream from the others of a scenario. */
  generate(durationMs: number, name: string, random: Random): Draft[];
}
