import { parseArgs } from 'node:util';
import type { Address } from './grpc/connection.ts';
import type { PickerOptions } from './picker.ts';

export interface RunOptions {
  readonly picker: PickerOptions;
  /** Ids or groups of them; empty: all. */
  readonly only: readonly string[];
  readonly isJson: boolean;
}

export class UsageError extends Error {}

export const USAGE = `usage: npm run conformance -- --target HOST:PORT [options]

Drives an endpoint picker over gRPC as Envoy would and says which parts of the Endpoint Picker Protocol it keeps.

  --target HOST:PORT      the picker's ext_proc service
  --tls                   it speaks TLS; its certificate is not checked
  --health HOST:PORT      its health service, in plaintext; at the target unless given
  --endpoints IP:PORT,…   all endpoints that it may pick; unless given, what it picks
  --empty HOST:PORT       a second one of the same kind without a ready endpoint
  --model NAME            a model that it knows (default: llama3.2)
  --path PATH             where chat requests go (default: /v1/chat/completions)
  --timeout MS            how long one answer may take (default: 5000)
  --pid PID               its process: the drain cases end it with SIGTERM
  --only ID,…             these cases, or groups of them: DUP,SUB-1
  --json                  for machines
  --list                  the cases, without trying any

Exit code: 0 every MUST that was tried is met, 1 one is not, 2 wrong usage or no picker there.
`;

const OPTIONS = {
  target: { type: 'string' },
  tls: { type: 'boolean', default: false },
  health: { type: 'string' },
  endpoints: { type: 'string' },
  empty: { type: 'string' },
  model: { type: 'string', default: 'llama3.2' },
  path: { type: 'string', default: '/v1/chat/completions' },
  timeout: { type: 'string', default: '5000' },
  pid: { type: 'string' },
  only: { type: 'string', default: '' },
  json: { type: 'boolean', default: false },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false, short: 'h' },
} as const;

/** Throws `UsageError` with what is wrong. */
export function readOptions(args: readonly string[]): RunOptions | 'help' | 'list' {
  const values = parse(args);
  if (values.help) return 'help';
  if (values.list) return 'list';
  if (values.target === undefined) throw new UsageError('--target HOST:PORT is missing');
  const target = address(values.target, '--target', values.tls);
  return {
    picker: {
      target,
      health: values.health === undefined ? target : address(values.health, '--health', false),
      empty: values.empty === undefined ? undefined : address(values.empty, '--empty', values.tls),
      endpoints: values.endpoints === undefined ? undefined : list(values.endpoints),
      model: values.model,
      path: values.path,
      pid: values.pid === undefined ? undefined : wholeNumber(values.pid, '--pid'),
      timeoutMs: wholeNumber(values.timeout, '--timeout'),
    },
    only: list(values.only),
    isJson: values.json,
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error), { cause: error });
  }
}

function address(text: string, flag: string, isTls: boolean): Address {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port < 1 || port > 65_535)
    throw new UsageError(`${flag} takes HOST:PORT, got "${text}"`);
  return { host, port, isTls };
}

function wholeNumber(text: string, flag: string): number {
  const number = Number(text);
  if (!Number.isSafeInteger(number) || number < 1)
    throw new UsageError(`${flag} takes a number, got "${text}"`);
  return number;
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}
