import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';
import { graphics } from 'systeminformation';
import type { Log } from '../app/log.ts';
import type { Clock, Random } from '../app/ports.ts';
import { type BuiltReport, buildReport, type ReportSources } from './build-report.ts';
import { ollamaProblem } from './check-ollama.ts';
import { ControlPlaneClient } from './control-plane-client.ts';
import { AmdCollector } from './gpu/amd.ts';
import { readAmdSysfs } from './gpu/amd-sysfs.ts';
import { Gpus } from './gpu/gpus.ts';
import { NvidiaCollector } from './gpu/nvidia.ts';
import { OtherCollector } from './gpu/other.ts';
import { readHostFacts } from './host-facts.ts';
import { loadKey } from './key-file.ts';
import { Latest } from './latest.ts';
import { listenAddress, parseEnvironmentFile } from './ollama/environment.ts';
import { type FoundEnvironment, findEnvironment } from './ollama/find-environment.ts';
import { ownUrl } from './own-url.ts';
import { Reporter } from './reporter.ts';
import { createRunTool, type RunTool } from './run-tool.ts';
import { Said } from './said.ts';
import { type AgentSettings, keyPath } from './settings.ts';

/** A report waits no longer than this for the tools. */
const MAX_WAIT_MS = 1_500;
/** What changes with a restart of Ollama, or not at all, is asked for seldom. */
const ENVIRONMENT_MS = 30_000;
const CHECK_MS = 60_000;

export interface AgentDeps {
  readonly settings: AgentSettings;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly version: string;
  readonly run?: RunTool;
}

/** Reports this machine's state to a control plane until aborted. Rejects where its key cannot be used. */
export async function runAgent(deps: AgentDeps, signal: AbortSignal): Promise<void> {
  const { settings, clock, random, log, version } = deps;
  const key = await loadKey(keyPath(settings));
  const client = new ControlPlaneClient(key, clock, settings.ca);
  const sources = createSources(deps);
  const said = new Said(log);
  let checkedAt = Number.NEGATIVE_INFINITY;
  const build = async (to: URL) => {
    const built = await see(sources, to, signal);
    said.warnings('gpu', built.problems);
    if (built.report.gpus.length > 0) said.forget('no gpu');
    else if (built.problems.length === 0)
      said.info('no gpu', {}, 'no GPU is seen: what is reported is the host');
    if (built.environment !== undefined) {
      said.info(
        'environment',
        { ...built.report.ollama },
        `Ollama's settings come from ${built.environment.from}`,
      );
    }
    if (clock.now() - checkedAt >= CHECK_MS) {
      checkedAt = clock.now();
      void checkOllama(built, said, signal);
    }
    return built.report;
  };
  try {
    await new Reporter({ settings, client, version, build, clock, random, log }).run(signal);
  } finally {
    await client.close();
  }
}

async function checkOllama(
  { report, environment }: BuiltReport,
  said: Said,
  signal: AbortSignal,
): Promise<void> {
  const problem = await ollamaProblem(report.url, environment, signal);
  if (problem === undefined) said.forget('ollama');
  else said.warn('ollama', {}, problem);
}

/** One look at this machine, without telling anybody. */
export async function lookOnce(deps: AgentDeps, signal: AbortSignal): Promise<BuiltReport> {
  // People wait longer than reports do.
  const built = await see(createSources(deps, 10_000), deps.settings.to[0], signal);
  const problem = await ollamaProblem(built.report.url, built.environment, signal);
  return problem === undefined ? built : { ...built, problems: [...built.problems, problem] };
}

async function see(sources: ReportSources, to: URL | undefined, signal: AbortSignal): Promise<BuiltReport> {
  return await buildReport(sources, await urlFor(sources, to, signal), signal);
}

async function urlFor(sources: ReportSources, to: URL | undefined, signal: AbortSignal): Promise<string> {
  const { settings } = sources;
  if (settings.url !== undefined) return settings.url;
  const { port } = listenAddress((await sources.environment(signal))?.env.OLLAMA_HOST);
  const url = to === undefined ? `http://127.0.0.1:${port}` : await ownUrl(to, port);
  if (url !== undefined) return url;
  throw new Error(
    `the way to ${to?.hostname} is not known here: check its name and this machine's network, or name Ollama's address with --url`,
  );
}

function createSources(
  { settings, clock, run = createRunTool() }: AgentDeps,
  longestWaitMs = MAX_WAIT_MS,
): ReportSources {
  const waitMs = longestWaitMs;
  const gpus = new Gpus({
    vendors: [new NvidiaCollector(run, clock), new AmdCollector(run, clock, () => readAmdSysfs())],
    fallback: new OtherCollector({
      list: async () => (await graphics()).controllers,
      run,
      clock,
      hostMemoryBytes: totalmem(),
    }),
    clock,
    waitMs,
  });
  const hosts = new Map<string, Latest<Awaited<ReturnType<typeof readHostFacts>>>>();
  return {
    settings,
    clock,
    gpus,
    host: async (modelsDir, signal) => {
      // A network file system may hang as a driver may.
      const latest =
        hosts.get(modelsDir) ?? new Latest('host', () => readHostFacts(modelsDir), { clock, waitMs });
      hosts.set(modelsDir, latest);
      return (await latest.read(signal)).value;
    },
    environment: createEnvironment(settings, run, clock, waitMs),
  };
}

function createEnvironment(
  settings: AgentSettings,
  run: RunTool,
  clock: Clock,
  waitMs: number,
): (signal: AbortSignal) => Promise<FoundEnvironment | undefined> {
  const port = settings.url === undefined ? undefined : Number(new URL(settings.url).port) || undefined;
  const file = settings.ollamaEnvFile;
  const latest = new Latest<FoundEnvironment | undefined>(
    'environment',
    async (signal) =>
      file === undefined
        ? await findEnvironment({ run, port }, signal)
        : { env: parseEnvironmentFile(await readFile(file, 'utf8')), from: file },
    { clock, waitMs },
  );
  let readAt = Number.NEGATIVE_INFINITY;
  let found: FoundEnvironment | undefined;
  return async (signal) => {
    if (clock.now() - readAt >= ENVIRONMENT_MS) {
      const { value, isWaiting } = await latest.read(signal);
      // A slow answer is taken with the next report.
      if (!isWaiting) readAt = clock.now();
      found = value;
    }
    return found;
  };
}
