import { setImmediate } from 'node:timers/promises';
import { fleetParams, linePolicy, modelAliases, routingParams } from '../../app/params.ts';
import { loadConfig } from '../../config/load.ts';
import type { WarmpathSettings } from '../../simulate/control-plane.ts';
import { ALL_POLICIES, SIM_POLICIES, type SimPolicy, simulate } from '../../simulate/policies.ts';
import { measure } from '../../simulate/report/measure.ts';
import { SCENARIOS } from '../../simulate/scenarios/catalogue.ts';
import type { Scenario } from '../../simulate/types.ts';
import { buildScenario } from '../../simulate/workload.ts';
import { EXIT, type ExitCode } from '../exit-code.ts';
import type { Io } from '../io.ts';
import { columnsOf, createPaint } from '../terminal.ts';
import { UsageError } from '../usage-error.ts';
import { readReplay } from './replay-file.ts';
import { runReport } from './report.ts';
import { policyRun, renderRuns } from './simulate-view.ts';
import { readWorkload } from './workload-file.ts';

export interface SimulateFlags {
  readonly scenario?: string;
  readonly replay?: string;
  readonly policy?: string;
  readonly seed: number;
  readonly requests?: number;
  readonly config?: string;
  readonly report?: string;
  readonly json?: boolean;
}

/** Runs policies over a simulated fleet and shows how each of them did. */
export async function runSimulate(io: Io, file: string | undefined, flags: SimulateFlags): Promise<ExitCode> {
  if (flags.report !== undefined) return report(io, file, { ...flags, report: flags.report });
  const policies = policiesOf(flags.policy);
  const warmpath = flags.config === undefined ? undefined : await settingsOf(io, flags.config);
  const scenario = await scenarioOf(file, flags);
  const runs = [];
  for (const policy of policies) {
    // A run keeps the process busy from its beginning to its end: between them an interrupt is heard.
    await setImmediate();
    if (io.signal.aborted) return EXIT.problem;
    const result = simulate(scenario, policy, { seed: flags.seed, warmpath });
    runs.push(policyRun(result, measure(result, scenario)));
  }
  if (flags.json === true) {
    const { name, about, requests, nodes, models } = scenario;
    const report = {
      scenario: name,
      about,
      seed: flags.seed,
      requests: requests.length,
      nodes: nodes.length,
      models: models.length,
      policies: runs,
    };
    io.out.write(`${JSON.stringify(report, null, 2)}\n`);
  } else io.out.write(renderRuns(scenario, flags.seed, runs, createPaint(io.out, io.env), columnsOf(io.out)));
  return EXIT.ok;
}

async function report(
  io: Io,
  file: string | undefined,
  flags: SimulateFlags & { readonly report: string },
): Promise<ExitCode> {
  const { scenario, replay, policy, config, json } = flags;
  if ([file, scenario, replay, policy, config, json].some((given) => given !== undefined))
    throw new UsageError(
      '--report runs all policies in all named scenarios: only --seed and --requests go with it',
    );
  return runReport(io, { report: flags.report, seed: flags.seed, requests: flags.requests });
}

/** What a configuration file says of decisions; its nodes do not matter here. */
async function settingsOf(io: Io, file: string): Promise<WarmpathSettings> {
  const { config } = await loadConfig({ file, env: io.env });
  return {
    routing: routingParams(config),
    line: linePolicy(config),
    aliases: modelAliases(config),
    health: fleetParams(config),
  };
}

function policiesOf(list: string | undefined): readonly SimPolicy[] {
  if (list === undefined) return SIM_POLICIES;
  const names = list.split(',').map((name) => name.trim());
  return names.map((name) => {
    const policy = ALL_POLICIES.find((known) => known === name);
    if (policy === undefined)
      throw new UsageError(`there is no policy "${name}"; there are ${ALL_POLICIES.join(', ')}`);
    return policy;
  });
}

async function scenarioOf(file: string | undefined, flags: SimulateFlags): Promise<Scenario> {
  const { scenario: name, replay, seed, requests } = flags;
  if (name !== undefined && (file !== undefined || replay !== undefined))
    throw new UsageError(
      '--scenario brings its own nodes and requests: leave the workload file and --replay out',
    );
  if (name !== undefined) {
    const draw = SCENARIOS.get(name);
    if (draw !== undefined) return draw(seed, requests);
    throw new UsageError(`there is no scenario "${name}"; there are ${[...SCENARIOS.keys()].join(', ')}`);
  }
  const workload = file === undefined ? undefined : await readWorkload(file);
  if (replay !== undefined) return readReplay(replay, workload, requests);
  if (workload === undefined)
    throw new UsageError(
      `name a workload file, a recording with --replay, or one of these with --scenario: ${[...SCENARIOS.keys()].join(', ')}`,
    );
  const scenario = buildScenario(workload, seed, requests);
  if (scenario.requests.length === 0)
    throw new UsageError(`${workload.name} makes no requests: it needs "streams"`);
  return scenario;
}
