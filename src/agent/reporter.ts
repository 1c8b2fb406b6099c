import type { AgentReport } from '../app/agents/agent-protocol.ts';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import type { Answer, ControlPlaneClient } from './control-plane-client.ts';
import { explainClock, explainError, explainRefusal } from './explain-answer.ts';
import { Said } from './said.ts';
import type { AgentSettings } from './settings.ts';

/** Longest wait between attempts while nobody takes the reports. */
const MAX_WAIT_MS = 60_000;
const MIN_WAIT_MS = 1_000;
/** Even where a report took longer than the interval. */
const MIN_PAUSE_MS = 200;
const JITTER = 0.1;

export interface ReporterOptions {
  readonly settings: Pick<AgentSettings, 'to' | 'node' | 'joinToken' | 'intervalMs' | 'labels'>;
  readonly client: Pick<ControlPlaneClient, 'join' | 'report'>;
  readonly version: string;
  /** What this machine looks like now, to the control plane at `to`. */
  readonly build: (to: URL, signal: AbortSignal) => Promise<AgentReport>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
}

/** How one attempt went; `wait`: somebody is there and does not want to be asked so soon. */
type Outcome = { readonly isTaken: boolean; readonly waitMs?: number | undefined };

/**
 * Reports to the first control plane that takes it, and stays with it. Where it fails, the next is tried at once; where all
 * do, ever more seldom. One line is logged for each change, not for each attempt.
 */
export class Reporter {
  readonly #options: ReporterOptions;
  readonly #said: Said;
  /** Those that took our join since we started. */
  readonly #joined = new Set<URL>();
  #current = 0;
  #failures = 0;

  constructor(options: ReporterOptions) {
    this.#options = options;
    this.#said = new Said(options.log);
  }

  /** Until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    while (!signal.aborted) {
      const start = clock.now();
      const waitMs = await this.round(signal);
      // Slow tools and slow networks do not stretch the interval that the report promises.
      await clock.sleep(Math.max(MIN_PAUSE_MS, waitMs - (clock.now() - start)), signal);
    }
  }

  /** One report to whoever takes it; answers how long to wait until the next, ms. */
  async round(signal: AbortSignal): Promise<number> {
    const { settings, random } = this.#options;
    let askedToWaitMs = 0;
    for (let tried = 0; tried < settings.to.length && !signal.aborted; tried++) {
      const outcome = await this.#attempt(this.#to(), signal);
      if (outcome.isTaken) {
        this.#failures = 0;
        return settings.intervalMs * (1 + JITTER * (2 * random() - 1));
      }
      askedToWaitMs = Math.max(askedToWaitMs, outcome.waitMs ?? 0);
      this.#current = (this.#current + 1) % settings.to.length;
    }
    this.#failures += 1;
    const backoff = Math.max(MIN_WAIT_MS, settings.intervalMs) * 2 ** Math.min(this.#failures - 1, 16);
    // Half of it by chance: agents that lost their control plane together do not return together.
    const jittered = Math.min(MAX_WAIT_MS, backoff) * (0.5 + 0.5 * random());
    return Math.max(jittered, Math.min(askedToWaitMs, MAX_WAIT_MS));
  }

  #to(): URL {
    const to = this.#options.settings.to[this.#current];
    if (to === undefined) throw new Error('an agent reports to at least one control plane');
    return to;
  }

  async #attempt(to: URL, signal: AbortSignal): Promise<Outcome> {
    const { settings, client } = this.#options;
    const report = await this.#build(to, signal);
    if (report === undefined) return { isTaken: false };
    try {
      const isFirst = !this.#joined.has(to) && settings.joinToken !== undefined;
      if (isFirst) {
        const answer = await this.#join(to, report.url, settings.joinToken, signal);
        if (answer.status !== 200) return this.#refused('join', to, answer);
      }
      const answer = await client.report(to, report, signal);
      if (answer.status === 200) {
        this.#taken(to, answer);
        return { isTaken: true };
      }
      const outcome = this.#refused('report', to, answer);
      // One that was restarted may know nobody: the next round joins first.
      if (!isFirst && this.#explain('report', to, answer).mayJoin) this.#joined.delete(to);
      return outcome;
    } catch (error) {
      if (signal.aborted) return { isTaken: false };
      this.#said.warn(to.origin, {}, `${to.origin} takes no reports: ${explainError(error)}; trying again`);
      return { isTaken: false };
    }
  }

  async #build(to: URL, signal: AbortSignal): Promise<AgentReport | undefined> {
    try {
      const report = await this.#options.build(to, signal);
      this.#said.forget('build');
      return report;
    } catch (error) {
      const reason = error instanceof Error ? error.message.slice(0, 500) : String(error);
      if (!signal.aborted) this.#said.warn('build', {}, `no report can be made: ${reason}`);
      return undefined;
    }
  }

  async #join(to: URL, url: string, token: string, signal: AbortSignal): Promise<Answer> {
    const { settings, client, version } = this.#options;
    const { node, labels } = settings;
    const answer = await client.join(to, { node, url, version, labels: { ...labels } }, token, signal);
    if (answer.status === 200) this.#joined.add(to);
    return answer;
  }

  #taken(to: URL, answer: Answer): void {
    const { node } = this.#options.settings;
    const isMember = answer.state === undefined || answer.state === 'member';
    const wait = isMember ? '' : `; it is no member yet (${answer.state})${stateHint(node, answer)}`;
    this.#said.info(to.origin, { node }, `reporting as "${node}" to ${to.origin}${wait}`);
    const clock = explainClock(answer.clockAheadMs);
    if (clock === undefined) this.#said.forget('clock');
    else this.#said.warn('clock', {}, clock);
  }

  #refused(what: 'join' | 'report', to: URL, answer: Answer): Outcome {
    this.#said.warn(to.origin, { status: answer.status }, this.#explain(what, to, answer).text);
    return { isTaken: false, waitMs: answer.retryAfterMs };
  }

  #explain(what: 'join' | 'report', to: URL, answer: Answer): { text: string; mayJoin: boolean } {
    const { node, joinToken } = this.#options.settings;
    return explainRefusal(answer, { what, node, to: to.origin, hasToken: joinToken !== undefined });
  }
}

function stateHint(node: string, { message }: Answer): string {
  return message === undefined ? `: warmpath nodes approve ${node}` : `: ${message}`;
}
