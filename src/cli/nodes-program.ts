import { type Command, InvalidArgumentError } from 'commander';
import { parseDuration } from '../config/duration.ts';
import { adminToken } from './admin-token.ts';
import { type AdminFlags, adminUrl } from './admin-url.ts';
import type { ExitCode } from './exit-code.ts';
import type { Io } from './io.ts';
import { changeNodes, listNodes, type NodesTarget } from './nodes.ts';

type TargetFlags = AdminFlags & { json?: boolean };

/** `warmpath nodes …`. `addAdminOptions` gives a command the flags that say which Warmpath is meant. */
export function addNodesCommands(
  program: Command,
  io: Io,
  addAdminOptions: (command: Command) => Command,
  done: (code: ExitCode) => void,
): void {
  const nodes = program
    .command('nodes')
    .description('list, approve, drain and remove the nodes of a running Warmpath');
  const add = (usage: string, description: string): Command =>
    addAdminOptions(nodes.command(usage)).description(description).option('--json', 'for programs');
  const target = async (flags: TargetFlags): Promise<NodesTarget> => ({
    url: await adminUrl(flags, io.env),
    token: await adminToken(flags, io.env),
    json: flags.json === true,
  });

  add('list', 'all known nodes: state, source, when last seen, and why one is no member').action(
    async (flags: TargetFlags) => done(await listNodes(io, await target(flags))),
  );
  add('approve', 'let found nodes join')
    .argument('[names...]', 'as "nodes list" shows them')
    .option('--all-candidates', 'all that wait')
    .action(async (names: string[], flags: TargetFlags & { allCandidates?: boolean }, command: Command) => {
      const allCandidates = flags.allCandidates === true;
      if (allCandidates === names.length > 0)
        command.error('error: give NAMES or --all-candidates', { exitCode: 2 });
      done(await changeNodes(io, await target(flags), { action: 'approve', names, allCandidates }));
    });
  add('drain', 'give nodes no new requests; those that run end by themselves')
    .argument('<names...>', 'as "nodes list" shows them')
    .option('--note <text>', 'why, for people')
    .option(
      '--remove-after <duration>',
      'then remove them, or when their requests have ended: 10m, 1h',
      durationMs,
    )
    .action(async (names: string[], flags: TargetFlags & { note?: string; removeAfter?: number }) => {
      const { note, removeAfter: removeAfterMs } = flags;
      done(await changeNodes(io, await target(flags), { action: 'drain', names, note, removeAfterMs }));
    });
  add('undrain', 'give them requests again; ends a removal that waits')
    .argument('<names...>', 'as "nodes list" shows them')
    .action(async (names: string[], flags: TargetFlags) =>
      done(await changeNodes(io, await target(flags), { action: 'undrain', names })),
    );
  add('remove', 'take found nodes out at once; finding them again changes nothing')
    .argument('<names...>', 'as "nodes list" shows them')
    .action(async (names: string[], flags: TargetFlags) =>
      done(await changeNodes(io, await target(flags), { action: 'remove', names })),
    );
}

function durationMs(value: string): number {
  const ms = parseDuration(value);
  if (ms === undefined || ms > 7 * 24 * 3_600_000) {
    throw new InvalidArgumentError('a duration of at most 168h is needed, such as 30s, 10m or 1h.');
  }
  return ms;
}
