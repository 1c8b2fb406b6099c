import { type Command, Option } from 'commander';
import { parseDuration } from '../config/duration.ts';
import { positiveInteger } from './options.ts';

/** Flags of `agent` as typed. */
export interface AgentFlags {
  readonly to: readonly string[];
  readonly node?: string;
  readonly url?: string;
  readonly joinToken?: string;
  readonly joinTokenFile?: string;
  readonly interval: string;
  readonly stateDir?: string;
  readonly ca?: string;
  readonly label: readonly string[];
  readonly ollamaEnv?: string;
  readonly parallel?: number;
  readonly maxLoaded?: number;
  readonly maxQueue?: number;
  readonly modelsDir?: string;
  readonly gpus?: string;
  readonly maintenance?: string | true;
  readonly ownerHours?: string;
  readonly once?: boolean;
  readonly logLevel: LogLevel;
}
type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';

const listed = (value: string, before: readonly string[]): string[] => [
  ...before,
  ...value.split(',').map((part) => part.trim()),
];
const collected = (value: string, before: readonly string[]): string[] => [...before, value];

export function addAgentOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '-t, --to <url>',
        'where control planes take reports, repeatable or a list; the next is tried when one fails; mdns: look on this network',
      )
        .env('WARMPATH_AGENT_TO')
        .argParser(listed)
        .default([], 'none'),
    )
    .addOption(
      new Option('--node <name>', 'name of this node, the host name unless set').env('WARMPATH_AGENT_NODE'),
    )
    .addOption(
      new Option(
        '--url <url>',
        'how the control plane reaches this Ollama; unless set, the address that this machine has towards the control plane, with the port of OLLAMA_HOST',
      ).env('WARMPATH_AGENT_URL'),
    )
    .option(
      '--join-token <text>',
      'proves that this node may join (WARMPATH_JOIN_TOKEN; flags are seen by other users)',
    )
    .addOption(new Option('--join-token-file <path>', 'a file that holds it').env('WARMPATH_JOIN_TOKEN_FILE'))
    .addOption(
      new Option('--interval <duration>', 'between reports').env('WARMPATH_AGENT_INTERVAL').default('2s'),
    )
    .addOption(new Option('--state-dir <dir>', 'keeps the key of this node').env('WARMPATH_AGENT_STATE_DIR'))
    .addOption(
      new Option('--ca <path>', "PEM of the CA of the control plane's certificate").env('WARMPATH_AGENT_CA'),
    )
    .addOption(
      new Option('--label <key=value>', 'a label of this node, repeatable')
        .argParser(collected)
        .default([], 'none'),
    )
    .option(
      '--ollama-env <path>',
      "KEY=VALUE file with Ollama's environment; unless set, that of the service is read",
    )
    .option('--parallel <n>', 'OLLAMA_NUM_PARALLEL, where it cannot be read', positiveInteger)
    .option('--max-loaded <n>', 'OLLAMA_MAX_LOADED_MODELS, likewise', positiveInteger)
    .option('--max-queue <n>', 'OLLAMA_MAX_QUEUE, likewise', positiveInteger)
    .option('--models-dir <dir>', 'where the models lie, for the free disk space (OLLAMA_MODELS)')
    .option('--gpus <list>', 'only these GPUs, by index or UUID; unless set, those that Ollama may use')
    .option('--maintenance [note]', 'drain this node for as long as the agent runs so')
    .addOption(
      new Option(
        '--owner-hours <list>',
        'drain it while its owner uses it, e.g. "Mon-Fri 18:00-23:00, Sat 10:00-24:00"',
      ).env('WARMPATH_AGENT_OWNER_HOURS'),
    )
    .option('--once', 'print what would be reported, as JSON, and exit')
    .addOption(
      new Option('--log-level <level>', 'how much is logged')
        .choices(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
        .env('WARMPATH_LOG_LEVEL')
        .default('info'),
    );
}

/** Ms between reports; undefined where the text is no such duration. */
export function parseInterval(text: string): number | undefined {
  const ms = parseDuration(text);
  return ms !== undefined && ms >= 500 && ms <= 600_000 ? ms : undefined;
}
