import type { LeaseLedger } from '../fleet/ledger.ts';
import type { ModelKey, NodeId } from '../fleet/types.ts';
import type { Decision } from './decision-log.ts';

/** Beyond this nobody looks further back: no node is believed to have more slots. */
const MAX_RUNNING = 64;
/** Ends are heard of a little late, each by another delay: what ended about when this began says nothing. */
const SURE_MS = 50;

/** Who was on the node when a request was sent there. */
export interface Company {
  readonly node: NodeId;
  /** Monotonic ms. */
  readonly sentAt: number;
  /** Requests on the node and model, this one included, all control planes together. */
  readonly concurrency: number;
  /** Requests for other models on the node. */
  readonly others: number;
  /** This control plane's requests on the node and model that were sent before this one, the earliest first; at most 64. */
  readonly running: readonly string[];
}

/** To be asked just before the lease is taken there. */
export function companyOf(ledger: LeaseLedger, node: NodeId, model: ModelKey, now: number): Company {
  const onModel = ledger.onModel(node, model);
  const running: string[] = [];
  if (onModel > 0) {
    for (const id of ledger.leasesOn(node, model)) {
      if (running.length === MAX_RUNNING) break;
      running.push(id);
    }
  }
  return { node, sentAt: now, concurrency: onModel + 1, others: ledger.onNode(node) - onModel, running };
}

/**
 * How many of the earlier requests still ran when this one's answer began, `beganAt` (monotonic ms). Ollama begins with
 * requests in their order, so each of them holds a slot beside this one's. Undefined where it is not known of all.
 */
export function servedBeside(
  { node, concurrency, running }: Company,
  beganAt: number,
  find: (id: string) => Decision | undefined,
  ledger: LeaseLedger,
): number | undefined {
  let beside = 0;
  for (const id of running) {
    const other = find(id);
    if (other !== undefined && ranOn(other, node) && stillRan(other, beganAt, ledger)) beside += 1;
  }
  const areAllOurs = running.length === concurrency - 1;
  return areAllOurs || (beside > 0 && beside === running.length) ? beside : undefined;
}

/**
 * Ms from the first end among the earlier requests to `endedAt` (monotonic ms). Undefined where none had ended by then, or
 * where that is not known of all.
 */
export function afterFirstEnd(
  { node, concurrency, running }: Company,
  endedAt: number,
  find: (id: string) => Decision | undefined,
): number | undefined {
  if (running.length !== concurrency - 1) return undefined;
  let first = endedAt;
  for (const id of running) {
    const other = find(id);
    if (other === undefined || !ranOn(other, node)) return undefined;
    first = Math.min(first, other.finishedAt ?? endedAt);
  }
  return first < endedAt ? endedAt - first : undefined;
}

function stillRan({ id, finishedAt }: Decision, beganAt: number, ledger: LeaseLedger): boolean {
  return finishedAt === undefined ? ledger.find(id) !== undefined : finishedAt > beganAt + SURE_MS;
}

/** It may have gone on to another node since. */
function ranOn({ company, outcome, ranking }: Decision, node: NodeId): boolean {
  const address = outcome?.address;
  if (address !== undefined) return ranking.nodes.some((n) => n.id === node && n.address === address);
  return company === undefined || company.node === node;
}
