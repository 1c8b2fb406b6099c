import { type Case, demand, Skipped, Unmet } from '../case.ts';
import { describe } from '../exchange/answer.ts';
import { hear, requestIsAnswered, tell } from '../exchange/drive.ts';
import { bodyMessages, chatBody, headersMessage } from '../exchange/request.ts';
import type { Picker } from '../picker.ts';
import { SOURCE } from '../sources.ts';
import { demandOrder, demandWhole } from './echo.ts';

const NOT_SERVING = 2;
const SERVING = 1;
/** How long readiness may take to turn, and how often it is asked. */
const TURN_MS = 3_000;
const ASK_EVERY_MS = 20;

interface Drained {
  /** In order, each once: what readiness said after SIGTERM. */
  readonly readiness: readonly string[];
  readonly livenessMeanwhile: string | undefined;
  /** What became of the request that was half way. */
  readonly stream: { readonly problem: Unmet | undefined; readonly seen: string };
}

/** They end the process: last of all, and only where its id was given. */
export const DRAIN: readonly Case[] = [
  {
    id: 'DRN-1',
    title: 'after SIGTERM readiness turns NOT_SERVING, before health falls silent',
    level: 'SHOULD',
    source: SOURCE.healthServices,
    endsPicker: true,
    async run(picker) {
      const { readiness } = await drained(picker);
      demand(readiness.includes('NOT_SERVING'), 'NOT_SERVING', readiness.join(', then ') || 'no answer');
      return readiness.join(', then ');
    },
  },
  {
    id: 'DRN-2',
    title: 'after SIGTERM a stream that is open goes on to its end',
    level: 'SHOULD',
    source: SOURCE.proposal,
    endsPicker: true,
    async run(picker) {
      const { stream } = await drained(picker);
      if (stream.problem !== undefined) throw stream.problem;
      return stream.seen;
    },
  },
  {
    id: 'DRN-3',
    title: 'after SIGTERM liveness stays SERVING while the process drains',
    level: 'SHOULD',
    source: SOURCE.healthServices,
    endsPicker: true,
    async run(picker) {
      const { livenessMeanwhile } = await drained(picker);
      demand(livenessMeanwhile === 'SERVING', 'SERVING', livenessMeanwhile ?? 'no answer');
      return undefined;
    },
  },
];

function drained(picker: Picker): Promise<Drained> {
  const { pid } = picker.options;
  if (pid === undefined) throw new Skipped('needs --pid: it ends the picker with SIGTERM');
  const known = (picker.once.get('drained') as Promise<Drained> | undefined) ?? drain(picker, pid); // sound: only set below
  picker.once.set('drained', known);
  return known;
}

async function drain(picker: Picker, pid: number): Promise<Drained> {
  const call = await picker.stream();
  const request = picker.chat({ body: chatBody(picker.options.model, 5_000), pieces: [1_000] });
  tell(call, [headersMessage(request, 'duplex')]);
  const asked = await picker.connect(picker.options.health);
  const before = await picker.health('readiness', asked);
  demand(before.serving === SERVING, 'readiness SERVING before SIGTERM', before.seen);
  process.kill(pid, 'SIGTERM');
  const { readiness, livenessMeanwhile } = await watchTurn(picker);
  tell(call, bodyMessages(request));
  const answer = await hear(call, requestIsAnswered(request), picker.options.timeoutMs);
  let problem: Unmet | undefined;
  try {
    demandOrder(answer, 'request');
    demandWhole(answer, 'request_body', request.body ?? Buffer.alloc(0));
  } catch (error) {
    if (!(error instanceof Unmet)) throw error;
    problem = error;
  }
  return { readiness, livenessMeanwhile, stream: { problem, seen: describe(answer) } };
}

/** Asks on connections of its own, as a prober does, until readiness has turned or nobody answers any more. */
async function watchTurn(
  picker: Picker,
): Promise<{ readiness: string[]; livenessMeanwhile: string | undefined }> {
  const readiness: string[] = [];
  const deadline = performance.now() + TURN_MS;
  while (performance.now() < deadline) {
    const { seen, serving } = await ask(picker, 'readiness');
    if (readiness.at(-1) !== seen) readiness.push(seen);
    if (serving === NOT_SERVING)
      return { readiness, livenessMeanwhile: (await ask(picker, 'liveness')).seen };
    if (serving === undefined) break;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
  return { readiness, livenessMeanwhile: undefined };
}

async function ask(picker: Picker, service: string): Promise<{ seen: string; serving?: number }> {
  try {
    return await picker.health(service);
  } catch (error) {
    return { seen: `no connection (${error instanceof Error ? error.message : String(error)})` };
  }
}
