/** Exit codes of every command; shown by `warmpath --help`. */
export const EXIT = {
  ok: 0,
  /** The command worked and what it looked at is wrong: an invalid config, a model that no node can serve. */
  problem: 1,
  usage: 2,
  /** Nothing answers at the admin address. */
  unreachable: 3,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

export const EXIT_HELP = `
Exit codes:
  0  fine
  1  a problem was found or the command failed
  2  wrong usage
  3  nothing answers at the admin address`;
