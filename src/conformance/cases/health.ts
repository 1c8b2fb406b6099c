import { type Case, demand, NotApplicable } from '../case.ts';
import { HEALTH_CHECK, HEALTH_WATCH } from '../grpc/messages.ts';
import { SOURCE } from '../sources.ts';

const SERVING = 1;
const SERVICE_UNKNOWN = 3;
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

function serves(id: string, service: string, level: Case['level'], source: string): Case {
  return {
    id,
    title: service === '' ? 'health without a name says SERVING' : `health of "${service}" says SERVING`,
    level,
    source,
    async run(picker) {
      const { serving, seen } = await picker.health(service);
      demand(serving === SERVING, 'SERVING', seen);
      return undefined;
    },
  };
}

export const HEALTH: readonly Case[] = [
  serves('HLT-1', 'liveness', 'MUST', SOURCE.healthServices),
  serves('HLT-2', 'readiness', 'MUST', SOURCE.healthServices),
  serves('HLT-3', 'envoy.service.ext_proc.v3.ExternalProcessor', 'MUST', SOURCE.healthServices),
  serves('HLT-4', '', 'SHOULD', SOURCE.grpcHealth),
  {
    id: 'HLT-5',
    title: 'health of an unknown name says so: NOT_FOUND, or SERVICE_UNKNOWN',
    level: 'SHOULD',
    source: SOURCE.grpcHealth,
    async run(picker) {
      const { serving, grpc, seen } = await picker.health('no.such.Service');
      demand(
        serving === SERVICE_UNKNOWN || grpc === NOT_FOUND,
        'gRPC status 5 (NOT_FOUND) or SERVICE_UNKNOWN',
        seen,
      );
      return seen;
    },
  },
  {
    id: 'HLT-6',
    title: 'health can be watched: the first status comes at once',
    level: 'MAY',
    source: SOURCE.grpcHealth,
    async run(picker) {
      const connection = await picker.connect(picker.options.health);
      const call = connection.call(HEALTH_WATCH.path);
      call.write(HEALTH_WATCH.write({ service: 'readiness' }));
      call.halfClose();
      const event = await call.next(picker.options.timeoutMs);
      if (event.kind === 'over' && event.ending.kind === 'status' && event.ending.code === UNIMPLEMENTED)
        throw new NotApplicable('Watch is not implemented');
      const serving = event.kind === 'message' ? HEALTH_WATCH.read(event.message).status : undefined;
      demand(serving === SERVING, 'SERVING', event.kind);
      return undefined;
    },
  },
  {
    id: 'HLT-7',
    title: 'health answers while streams are open and while bytes that are no message come',
    level: 'SHOULD',
    source: SOURCE.healthServices,
    async run(picker) {
      const stream = await picker.stream();
      stream.raw.write(Buffer.from('this is no ProcessingRequest'));
      const connection = await picker.connect(picker.options.health);
      const bad = connection.call(HEALTH_CHECK.path);
      bad.write(Buffer.from([0xff, 0xff, 0xff, 0xff]));
      const { serving, seen } = await picker.health('liveness', connection);
      demand(serving === SERVING, 'SERVING', seen);
      return undefined;
    },
  },
];
