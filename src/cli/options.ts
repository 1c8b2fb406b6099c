import { type Command, InvalidArgumentError, Option } from 'commander';
import { PROFILE_NAMES } from '../app/ext-proc-profile.ts';

/** Flags of `up` and `serve` as typed; what they mean is the config's matter, flags win over environment and file. */
export interface RunFlags {
  /** `NAME=URL` or `URL`, in order. */
  readonly node: readonly string[];
  readonly config?: string;
  readonly listen?: string;
  readonly admin?: string;
  readonly grpc?: string;
  readonly stateDir?: string;
  readonly logLevel?: string;
  readonly envoy?: string;
  readonly redis?: string;
  readonly agents?: string;
  /** `KIND[:DETAIL]`, in order. */
  readonly discover?: readonly string[];
  readonly demo?: boolean;
  readonly profile?: string;
  readonly grpcTls?: string;
  readonly health?: string;
}

/** The flags that describe a fleet: also those of `check` and `envoy-config`. */
export function addConfigOptions(command: Command): Command {
  return command
    .addOption(
      new Option('-n, --node <[name=]url>', 'an Ollama node, repeatable (WARMPATH_NODES)')
        .argParser((value: string, before: string[]) => [...before, value])
        .default([], 'none'),
    )
    .option('-c, --config <file>', 'YAML file with everything else (WARMPATH_CONFIG)')
    .option(
      '-l, --listen <host:port>',
      'where clients connect, 0.0.0.0:11434 unless set (WARMPATH_LISTEN)',
      nonEmpty,
    )
    .option(
      '--admin <host:port>',
      'metrics, status and health, 127.0.0.1:9411 unless set (WARMPATH_ADMIN)',
      nonEmpty,
    )
    .option(
      '--grpc <host:port|unix:path>',
      'ext_proc, EDS and access log for Envoy, a Unix socket unless set (WARMPATH_GRPC)',
      nonEmpty,
    )
    .option(
      '--state-dir <dir>',
      'sockets, last known nodes and the private Envoy (WARMPATH_STATE_DIR)',
      nonEmpty,
    )
    .option('--envoy <path>', 'this Envoy instead of the one found or installed', nonEmpty)
    .option(
      '--redis <url>',
      'state shared with other control planes, redis://HOST:6379 (WARMPATH_REDIS hides a password in it)',
      nonEmpty,
    )
    .option(
      '--agents <host:port>',
      'where agents report to; they need the token in WARMPATH_JOIN_TOKEN (WARMPATH_AGENTS_LISTEN)',
      nonEmpty,
    )
    .addOption(
      new Option(
        '--discover <kind[:detail]>',
        'find nodes: mdns, localhost[:24000-24100], dns:NAME, file:PATH, kubernetes:SELECTOR or ' +
          'inferencepool:[NAMESPACE/]NAME, repeatable (WARMPATH_DISCOVERY_SOURCES)',
      ).argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]),
    );
}

/** For whom a control plane answers that runs without an Envoy of ours: flags of `serve` and `check`. */
export function addGatewayOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--profile <name>',
        "who asks: own (the Envoy that Warmpath configures), epp (another one's endpoint picker, ranked list) or " +
          'epp-single (the same with one endpoint) (WARMPATH_EXT_PROC_PROFILE)',
      ).choices(PROFILE_NAMES),
    )
    .addOption(
      new Option(
        '--grpc-tls <how>',
        'off, self-signed, or files with extProc.tlsCert and tlsKey (WARMPATH_EXT_PROC_TLS)',
      ).choices(['off', 'self-signed', 'files']),
    )
    .option(
      '--health <host:port>',
      'gRPC health without TLS on a port of its own (WARMPATH_EXT_PROC_HEALTH)',
      nonEmpty,
    );
}

/** Everything that `up` and `serve` share. */
export function addRunOptions(command: Command): Command {
  return addConfigOptions(command).addOption(
    new Option(
      '--log-level <level>',
      'trace, debug, info, warn, error, fatal or silent (WARMPATH_LOG_LEVEL)',
    ).choices(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
  );
}

function nonEmpty(value: string): string {
  if (value.trim() === '') throw new InvalidArgumentError('it must not be empty.');
  return value;
}

/** A whole number above zero. */
export function nonNegativeInteger(value: string): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(number)) {
    throw new InvalidArgumentError('a whole number is needed.');
  }
  return number;
}

export function positiveInteger(value: string): number {
  const number = Number(value);
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(number) || number < 1) {
    throw new InvalidArgumentError('a whole number above 0 is needed.');
  }
  return number;
}
