import { type AgentDeps, lookOnce, runAgent } from '../agent/agent.ts';
import { findWarmpath } from '../discovery/find-warmpath.ts';
import { createLogger } from '../telemetry/logger.ts';
import { VERSION } from '../version.ts';
import type { AgentFlags } from './agent-options.ts';
import { SEARCH, searchControlPlanes } from './agent-search.ts';
import { AgentFlagsError, agentSettings } from './agent-settings.ts';
import { EXIT, type ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { displayText } from './terminal.ts';

/** An answer on the local network takes less. */
const SEARCH_MS = 3_000;

/** Runs the agent until interrupted, or shows once what it sees. */
export async function agent(io: Io, flags: AgentFlags): Promise<ExitCode> {
  let settings: AgentDeps['settings'];
  try {
    settings = await agentSettings(flags, io.env);
  } catch (error) {
    if (!(error instanceof AgentFlagsError)) throw error;
    for (const problem of error.problems) io.err.write(`warmpath agent: ${displayText(problem)}\n`);
    return EXIT.usage;
  }
  const { logger } = createLogger({ level: flags.logLevel, format: 'auto' });
  let deps: AgentDeps = { settings, clock: io.clock, random: Math.random, log: logger, version: VERSION };
  if (flags.once === true) return await showOnce(io, deps);
  if (flags.to.includes(SEARCH)) {
    const find = (signal: AbortSignal) => findWarmpath({ timeoutMs: SEARCH_MS, clock: io.clock }, signal);
    const found = await searchControlPlanes({ find, clock: io.clock, log: logger }, io.signal);
    if (io.signal.aborted) return EXIT.ok;
    deps = { ...deps, settings: { ...settings, to: [...settings.to, ...found] } };
  }
  logger.info({ node: settings.node, to: deps.settings.to.map(({ origin }) => origin) }, 'the agent starts');
  await runAgent(deps, io.signal);
  logger.info({}, 'the agent ends');
  logger.flush();
  return EXIT.ok;
}

async function showOnce(io: Io, deps: AgentDeps): Promise<ExitCode> {
  const { report, environment, problems } = await lookOnce(deps, io.signal);
  io.out.write(`${JSON.stringify(report, null, 2)}\n`);
  const from =
    environment === undefined
      ? "Ollama's settings are not known here: give --ollama-env, or --parallel, --max-loaded and --max-queue"
      : `Ollama's settings come from ${environment.from}`;
  const noGpu = report.gpus.length === 0 && problems.length === 0 ? ['no GPU is seen'] : [];
  for (const line of [from, ...noGpu, ...problems]) io.err.write(`# ${displayText(line)}\n`);
  return EXIT.ok;
}
