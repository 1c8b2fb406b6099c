import type { ExtProcProblem, ProfileName } from '../../app/ext-proc-profile.ts';
import type { StreamMode } from '../../app/ext-proc-report.ts';
import { loadService } from '../grpc/load-proto.ts';
import type { GrpcService } from '../grpc/service.ts';
import type { WatchAnswer } from './answer-watch.ts';
import { BodyBudget } from './body-budget.ts';
import { EppReplies } from './epp-replies.ts';
import { FilterSigns } from './filter-signs.ts';
import { IdleWatch } from './idle-watch.ts';
import { OpenCall } from './open-call.ts';
import { OwnReplies } from './own-replies.ts';
import { problemReporter } from './problem-reporter.ts';
import type { Replies } from './replies.ts';
import type { ProcessCall, ProcessorDependencies, Shared } from './request-stream.ts';
import type { NodeAddresses } from './test-selection.ts';
import { Turns } from './turns.ts';

export interface ProcessorOptions {
  /** Who asks, and so what the answers hold. Default: the Envoy that we configure. */
  readonly profile?: ProfileName;
  /** Shortest list of endpoints, now, for gateways that walk one; theirs is as long as their retries, and one. */
  readonly minEndpoints?: () => number;
  /** Asks Envoy for response headers as well. Costs one more message; the access log tells the served node without. */
  readonly wantsResponseHeaders?: boolean;
  /** Request bodies that may be in this process at once, bytes. */
  readonly bodyBudgetBytes?: number;
  /** Largest request body, bytes, where pieces of it come one by one. */
  readonly maxBodyBytes?: number;
  /** The nodes, where a conformance test may say which of them its requests go to. Never for real traffic. */
  readonly testNodes?: NodeAddresses;
  /** Follows answers where no access log tells of them. */
  readonly watchAnswer?: WatchAnswer;
  /** Refusals carry the ids by which they can be asked about. Default: true. */
  readonly tellsDecisions?: boolean;
  /** Hears of each stream, and how its proxy says that it sends bodies. */
  readonly onStream?: (mode: StreamMode) => void;
  /** Hears of each thing that is wrong with how we are called, each time; the log has it already. */
  readonly onProblem?: (problem: ExtProcProblem, detail?: string) => void;
}

const MAX_BODY_BYTES = 64 * 1024 * 1024;

/** Envoy's external processor: one stream per request. */
export class ProcessorService implements GrpcService {
  readonly definition = loadService(
    'envoy/service/ext_proc/v3/external_processor.proto',
    'envoy.service.ext_proc.v3.ExternalProcessor',
  );
  readonly implementation = { Process: (call: ProcessCall) => this.#open(call) };
  readonly #deps: ProcessorDependencies;
  readonly #shared: Shared;
  readonly #streams = new Set<OpenCall>();
  #onIdle: (() => void)[] = [];

  constructor(deps: ProcessorDependencies, options: ProcessorOptions = {}) {
    this.#deps = deps;
    const problem = problemReporter(deps.log, () => deps.clock.now(), options.onProblem);
    this.#shared = {
      profile: options.profile ?? 'own',
      replies: repliesOf(options),
      turns: new Turns(() => deps.clock.now(), setImmediate),
      budget: new BodyBudget(options.bodyBudgetBytes),
      idle: new IdleWatch(deps.clock),
      maxBodyBytes: options.maxBodyBytes ?? MAX_BODY_BYTES,
      testNodes: options.testNodes,
      untold: { isDuplex: false },
      watchAnswer: options.watchAnswer,
      tellsDecisions: options.tellsDecisions ?? true,
      signs: new FilterSigns(problem),
      onStream: options.onStream,
      problem,
    };
  }

  /** Requests under way. */
  get openStreams(): number {
    return this.#streams.size;
  }

  /** Bytes of request bodies that are in this process, or on their way. */
  get heldBytes(): number {
    return this.#shared.budget.usedBytes;
  }

  settled(): Promise<void> {
    if (this.#streams.size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#onIdle.push(resolve));
  }

  close(): void {
    for (const stream of [...this.#streams]) stream.close();
  }

  #open(call: ProcessCall): void {
    const stream = new OpenCall(call, this.#deps, this.#shared);
    this.#streams.add(stream);
    this.#deps.telemetry.processorStreamOpened();
    stream.start(() => this.#closed(stream));
  }

  #closed(stream: OpenCall): void {
    this.#streams.delete(stream);
    this.#deps.telemetry.processorStreamClosed();
    if (this.#streams.size > 0) return;
    const waiting = this.#onIdle;
    this.#onIdle = [];
    for (const resolve of waiting) resolve();
  }
}

function repliesOf({
  profile = 'own',
  minEndpoints = () => 1,
  wantsResponseHeaders = false,
}: ProcessorOptions): Replies {
  if (profile === 'own') return new OwnReplies({ wantsResponseHeaders });
  return new EppReplies(() => ({ isSingle: profile === 'epp-single', minEndpoints: minEndpoints() }));
}
