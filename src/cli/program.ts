import { Command, CommanderError } from 'commander';
import { ConfigError } from '../config/problem.ts';
import { AdminUnreachable } from './admin-client.ts';
import { AdminAddressError, type AdminFlags, adminUrl } from './admin-url.ts';
import { type AgentFlags, addAgentOptions } from './agent-options.ts';
import { runCheck } from './check.ts';
import { addDrainEnvoyCommand } from './drain-envoy.ts';
import { runEnvoyConfig } from './envoy-config.ts';
import { EXIT, EXIT_HELP, type ExitCode } from './exit-code.ts';
import { runExplain, runExplainDecision } from './explain.ts';
import type { Io } from './io.ts';
import { addNodesCommands } from './nodes-program.ts';
import {
  addConfigOptions,
  addGatewayOptions,
  addRunOptions,
  positiveInteger,
  type RunFlags,
} from './options.ts';
import { addSimulateCommand } from './simulate/simulate-program.ts';
import { runStatus } from './status.ts';
import { UsageError } from './usage-error.ts';

interface ExplainFlags extends AdminFlags {
  readonly numCtx?: number;
  readonly path: string;
  readonly decision?: string;
  readonly json?: boolean;
}

export interface ProgramActions {
  readonly version: string;
  readonly io: Io;
  up(flags: RunFlags): Promise<ExitCode>;
  serve(flags: RunFlags): Promise<ExitCode>;
}

/** Runs the command line given, without the program's own name, and answers its exit code. Never throws. */
export async function runProgram(args: readonly string[], actions: ProgramActions): Promise<ExitCode> {
  const { io } = actions;
  let code: ExitCode = EXIT.ok;
  const program = createProgram(actions, (result) => {
    code = result;
  });
  try {
    await program.parseAsync(args, { from: 'user' });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    io.err.write(`warmpath: ${describe(error)}\n`);
    if (error instanceof AdminUnreachable) return EXIT.unreachable;
    return error instanceof AdminAddressError || error instanceof UsageError ? EXIT.usage : EXIT.problem;
  }
}

function createProgram(actions: ProgramActions, done: (code: ExitCode) => void): Command {
  const { io } = actions;
  const program = new Command('warmpath')
    .description('Model-aware load balancing for Ollama: each request goes where its model is already warm.')
    .version(actions.version, '-v, --version')
    .addHelpText('after', EXIT_HELP)
    .configureOutput({
      writeOut: (text) => io.out.write(text),
      writeErr: (text) => io.err.write(text),
      getOutHelpWidth: () => io.out.columns ?? 100,
      getErrHelpWidth: () => io.err.columns ?? 100,
      getOutHasColors: () => io.out.isTTY === true && !io.env.NO_COLOR,
      getErrHasColors: () => io.err.isTTY === true && !io.env.NO_COLOR,
    })
    .exitOverride();
  // A subcommand takes over how its parent prints and exits.
  addRunOptions(program.command('up'))
    .description('run Envoy and the control plane side by side')
    .option('--demo', 'add three simulated nodes, to see it work without a GPU')
    .action(async (flags: RunFlags) => done(await actions.up(flags)));
  addGatewayOptions(addRunOptions(program.command('serve')))
    .description(
      'run the control plane only, for an Envoy that runs elsewhere or as endpoint picker of a gateway',
    )
    .action(async (flags: RunFlags) => done(await actions.serve(flags)));
  addGatewayOptions(addConfigOptions(program.command('check')))
    .description('validate a configuration and say what it would run')
    .argument('[file]', 'the configuration file, as --config')
    .option('--json', 'for programs')
    .action(async (file: string | undefined, flags: RunFlags & { json?: boolean }) => {
      const all = file === undefined ? flags : { ...flags, config: file };
      done(await runCheck(io, all, { json: flags.json === true }));
    });
  addAdminOptions(program.command('status'))
    .description(
      'show a running Warmpath: its nodes, their warm models, slots and VRAM, requests in flight and in the line',
    )
    .option('-w, --watch', 'draw again every second until interrupted')
    .option('-m, --models', 'also what was learnt of each model on each node')
    .option('--json', 'for programs')
    .action(async (flags: AdminFlags & { watch?: boolean; json?: boolean; models?: boolean }) => {
      const url = await adminUrl(flags, io.env);
      const { watch = false, json = false, models = false } = flags;
      done(await runStatus(io, { url, watch, json, models }));
    });
  addAdminOptions(program.command('explain'))
    .description(
      'say which nodes a running Warmpath would try for a model now, or did for a request, and why',
    )
    .argument('[model]', 'as clients name it, e.g. llama3.2')
    .option('-d, --decision <id>', 'what was decided for a request: its header x-warmpath-decision')
    .option('--num-ctx <tokens>', 'as if the request asked for this context', positiveInteger)
    .option('--path <path>', 'as if the request came to this path', '/api/chat')
    .option('--json', 'for programs')
    .action(async (model: string | undefined, flags: ExplainFlags, command: Command) => {
      const { numCtx, path, decision, json = false } = flags;
      if ((model === undefined) === (decision === undefined))
        command.error("error: name a model, or a decision with '--decision <id>'");
      const url = await adminUrl(flags, io.env);
      if (decision !== undefined) done(await runExplainDecision(io, { url, decision, json }));
      else if (model !== undefined) done(await runExplain(io, { url, model, numCtx, path, json }));
    });
  addAgentOptions(program.command('agent'))
    .description("report this machine's GPUs, memory and Ollama settings to a Warmpath that runs elsewhere")
    .action(async (flags: AgentFlags) => {
      // Loaded when asked for: no other command looks at hardware.
      done(await (await import('./agent.ts')).agent(io, flags));
    });
  addNodesCommands(program, io, addAdminOptions, done);
  addSimulateCommand(program, io, done);
  addConfigOptions(program.command('envoy-config'))
    .description('print the Envoy bootstrap that "up" would use')
    .action(async (flags: RunFlags) => done(await runEnvoyConfig(io, flags)));
  addDrainEnvoyCommand(program, io, done);
  return program;
}

function addAdminOptions(command: Command): Command {
  return command
    .option('--admin <host:port>', 'its admin address, 127.0.0.1:9411 unless set (WARMPATH_ADMIN)')
    .option('-c, --config <file>', 'read the admin address from this file (WARMPATH_CONFIG)');
}

/** The message is for the operator; a mistake of ours shows its stack. */
function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const isOurs = error instanceof ConfigError || !(error instanceof TypeError || error instanceof RangeError);
  return isOurs ? error.message : (error.stack ?? error.message);
}
