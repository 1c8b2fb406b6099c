import type { Listener } from '../app/destination.ts';
import { formatHostPort } from '../app/host-port.ts';
import { checkRequests } from './check-requests.ts';
import {
  type GrpcAddress,
  type HostPort,
  hostPort,
  isNamed,
  MAX_SOCKET_PATH_BYTES,
  replicaAddress,
} from './host-port.ts';
import type { Problem } from './problem.ts';
import { grpcOf } from './resolve-ext-proc.ts';
import { settingsKeys } from './schema.ts';
import { asRecord } from './section-context.ts';

/** The settings as far as each is valid by itself. */
interface PartialSettings {
  readonly listen: HostPort | undefined;
  readonly admin: HostPort | undefined;
  readonly grpc: GrpcAddress | undefined;
  /** Where agents report to. */
  readonly agents: HostPort | undefined;
  /** gRPC health on a port of its own. */
  readonly health: HostPort | undefined;
  readonly stateDir: string;
}

export function readPartial(raw: Readonly<Record<string, unknown>>, stateDir: string): PartialSettings {
  return {
    listen: settingsKeys.listen.safeParse(raw.listen).data,
    admin: settingsKeys.admin.safeParse(raw.admin).data,
    grpc: grpcOf(raw),
    agents: hostPort.safeParse(asRecord(raw.agents).listen).data,
    health: hostPort.safeParse(asRecord(raw.extProc).health).data,
    stateDir,
  };
}

/** What we listen on, by the name of its setting. */
export function listenersOf(partial: PartialSettings): [setting: string, listener: Listener][] {
  const { listen, admin, grpc, agents, health } = partial;
  const all: [string, Listener | undefined][] = [
    ['listen', listen],
    ['admin', admin],
    ['grpc', grpc?.kind === 'tcp' ? grpc : undefined],
    ['agents.listen', agents],
    ['extProc.health', health],
  ];
  return all.flatMap(([setting, listener]) => (listener === undefined ? [] : [[setting, listener]]));
}

/** Problems between settings that are each valid by themselves. */
export function crossCheck(raw: Readonly<Record<string, unknown>>, partial: PartialSettings): Problem[] {
  const problems: Problem[] = [];
  const listeners = listenersOf(partial);
  for (const [i, [setting, listener]] of listeners.entries()) {
    const clash = listeners.slice(0, i).find(([, other]) => overlaps(listener, other));
    if (clash === undefined) continue;
    problems.push({
      path: setting.split('.'),
      message: `${formatHostPort(listener)} is taken by "${clash[0]}"`,
    });
  }
  if (
    partial.grpc === undefined &&
    Buffer.byteLength(`${partial.stateDir}/grpc.sock`) > MAX_SOCKET_PATH_BYTES
  ) {
    problems.push({
      path: ['stateDir'],
      message: 'is too long for the Unix socket in it; set "grpc" or a shorter path',
    });
  }
  const [health, poll] = [
    settingsKeys.health.safeParse(raw.health).data,
    settingsKeys.poll.safeParse(raw.poll).data,
  ];
  if (health !== undefined && health.readmitAfter > health.readmitMax) {
    problems.push({ path: ['health', 'readmitAfter'], message: 'must not be longer than health.readmitMax' });
  }
  if (poll !== undefined && poll.connectTimeout > poll.timeout) {
    problems.push({ path: ['poll', 'connectTimeout'], message: 'must not be longer than poll.timeout' });
  }
  const routing = settingsKeys.routing.safeParse(raw.routing).data;
  if (routing !== undefined && routing.firstByteTimeout > routing.loadTimeout) {
    problems.push({
      path: ['routing', 'firstByteTimeout'],
      message: 'must not be longer than routing.loadTimeout',
    });
  }
  checkReplicas(raw.replicas, partial.grpc, problems);
  problems.push(...checkRequests(raw));
  return problems;
}

/** Envoy asks each control plane once: ours is among them already. */
function checkReplicas(raw: unknown, own: GrpcAddress | undefined, problems: Problem[]): void {
  if (!Array.isArray(raw)) return;
  const name = (address: GrpcAddress): string =>
    address.kind === 'unix' ? address.path : formatHostPort(address);
  const hasName = raw.some((entry) => {
    const address = replicaAddress.safeParse(entry).data;
    return address !== undefined && isNamed(address);
  });
  const seen = new Map<string, string>(own === undefined ? [] : [[name(own), '"grpc", our own']]);
  for (const [index, entry] of raw.entries()) {
    const address = replicaAddress.safeParse(entry).data;
    if (address === undefined) continue;
    const fail = (message: string): void => void problems.push({ path: ['replicas', index], message });
    if (address.kind === 'tcp' && address.port === 0) fail('must not have port 0: Envoy cannot find it');
    if (isNamed(address) && (own === undefined || own.kind === 'unix'))
      fail(
        'is a name, which Envoy cannot ask beside a Unix socket; set "grpc" to HOST:PORT, such as 127.0.0.1:9413',
      );
    if (address.kind === 'unix' && hasName)
      fail('is a Unix socket, which Envoy cannot ask beside a name; give HOST:PORT');
    const taken = seen.get(name(address));
    if (taken !== undefined) fail(`is the address of ${taken}`);
    else seen.set(name(address), `replicas.${index}`);
  }
}

function overlaps(a: Listener, b: Listener): boolean {
  const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::';
  return a.port !== 0 && a.port === b.port && (a.host === b.host || isWildcard(a.host) || isWildcard(b.host));
}
