import type { Command } from 'commander';
import type { ExitCode } from '../exit-code.ts';
import type { Io } from '../io.ts';
import { nonNegativeInteger, positiveInteger } from '../options.ts';
import type { SimulateFlags } from './simulate.ts';

/** `warmpath simulate`. */
export function addSimulateCommand(program: Command, io: Io, done: (code: ExitCode) => void): void {
  program
    .command('simulate')
    .description('compare routing policies over a simulated fleet, in virtual time')
    .argument('[workload]', 'YAML file with nodes, models and streams of requests')
    .option('--scenario <name>', 'a named scenario instead of a file')
    .option(
      '--replay <file>',
      'the requests that a Warmpath recorded (decisions.record), over the nodes of the workload file',
    )
    .option('--policy <name,...>', 'only these policies; all unless given')
    .option('--seed <number>', 'of everything that chance decides', nonNegativeInteger, 1)
    .option('--requests <number>', 'so many requests', positiveInteger)
    .option(
      '-c, --config <file>',
      'Warmpath decides as this configuration says: routing, line, rewrites, aliases, health',
    )
    .option('--report <file>', 'compare all policies in all named scenarios and write a document with plots')
    .option('--json', 'for programs')
    .action(async (file: string | undefined, flags: SimulateFlags) => {
      // Loaded when asked for: no other command simulates.
      done(await (await import('./simulate.ts')).runSimulate(io, file, flags));
    });
}
