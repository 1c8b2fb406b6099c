import type { Usage } from '../../app/types.ts';
import { structFields } from '../grpc/well-known.ts';
import { TAP } from '../names.ts';
import { count } from './fields.ts';

/** What the tap read from the answer, out of its metadata namespace. */
export function readUsage(struct: unknown): Usage {
  const fields = structFields(struct);
  const ms = (name: string) => {
    const ns = count(fields.get(name));
    return ns === undefined ? undefined : ns / 1e6;
  };
  return {
    promptTokens: count(fields.get(TAP.promptTokens)),
    completionTokens: count(fields.get(TAP.completionTokens)),
    totalMs: ms(TAP.totalNs),
    loadMs: ms(TAP.loadNs),
    promptEvalMs: ms(TAP.promptEvalNs),
    evalMs: ms(TAP.evalNs),
    sawError: fields.get(TAP.error) === true,
  };
}
