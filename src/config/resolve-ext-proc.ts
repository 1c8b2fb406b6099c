import type { ProfileName } from '../app/ext-proc-profile.ts';
import { keyPairProblem } from './certificates.ts';
import { type GrpcAddress, grpcAddress } from './host-port.ts';
import type { Settings } from './schema.ts';
import { extProcKeys } from './schema-ext-proc.ts';
import { asRecord, type SectionContext } from './section-context.ts';

/** Where endpoint pickers usually listen. Only on this machine, until told otherwise. */
const PICKER_ADDRESS: GrpcAddress = { kind: 'tcp', host: '127.0.0.1', port: 9_002 };

export interface ResolvedExtProc {
  /** Absolute, both or none. */
  readonly tlsCert: string | undefined;
  readonly tlsKey: string | undefined;
}

/** Where gRPC listens as far as that is valid by itself; undefined: on a Unix socket in the state directory. */
export function grpcOf(raw: Readonly<Record<string, unknown>>): GrpcAddress | undefined {
  if (raw.grpc !== undefined) return grpcAddress.safeParse(raw.grpc).data;
  const profile = extProcKeys.profile.safeParse(asRecord(raw.extProc).profile).data;
  return profile === undefined ? undefined : defaultGrpc(profile);
}

/** Checks the ext_proc section together with its files and with the gRPC address. */
export async function resolveExtProc(
  raw: Readonly<Record<string, unknown>>,
  context: SectionContext,
): Promise<ResolvedExtProc> {
  const fields = asRecord(raw.extProc);
  const fail = (key: string, message: string): void => context.fail(['extProc', key], message);
  const profile = extProcKeys.profile.safeParse(fields.profile).data;
  const least = extProcKeys.minEndpoints.safeParse(fields.minEndpoints).data;
  if (profile === 'epp-single' && least !== undefined && least > 1)
    fail('minEndpoints', 'must be 1 in the profile epp-single, which answers with one endpoint');

  const tls = extProcKeys.tls.safeParse(fields.tls).data;
  if (tls !== undefined && tls !== 'off' && isOnUnixSocket(raw))
    fail('tls', `means nothing on a Unix socket; set "grpc" to HOST:PORT, or "tls" to off`);
  const [tlsCert, tlsKey] = [context.pathOf(fields.tlsCert), context.pathOf(fields.tlsKey)];
  if (tls !== 'files') {
    if (tls !== undefined)
      for (const key of ['tlsCert', 'tlsKey'])
        if (fields[key] !== undefined) fail(key, `means nothing with "tls: ${tls}"; set "tls: files"`);
    return { tlsCert: undefined, tlsKey: undefined };
  }
  if (tlsCert !== undefined && tlsKey !== undefined) {
    const problem = await keyPairProblem(context.noteFile(tlsCert), context.noteFile(tlsKey));
    if (problem !== undefined) fail(problem.at === 'cert' ? 'tlsCert' : 'tlsKey', problem.message);
  } else if (tlsCert !== undefined) fail('tlsCert', 'needs its private key in "tlsKey"');
  else if (tlsKey !== undefined) fail('tlsKey', 'needs its certificate in "tlsCert"');
  else fail('tls', 'files needs "tlsCert" and "tlsKey"');
  return { tlsCert, tlsKey };
}

/** What the settings leave open, decided. */
export function settledExtProc(
  settings: Settings,
  resolved: ResolvedExtProc,
): { readonly grpc?: GrpcAddress; readonly extProc: Settings['extProc'] & { outcomes: OutcomeSource } } {
  const { extProc } = settings;
  const { tlsCert: _c, tlsKey: _k, ...rest } = extProc;
  const grpc = settings.grpc ?? defaultGrpc(extProc.profile);
  const usual: OutcomeSource = extProc.profile === 'own' ? 'access-log' : 'stream';
  return {
    ...(grpc === undefined ? {} : { grpc }),
    extProc: {
      ...rest,
      outcomes: extProc.outcomes === 'auto' ? usual : extProc.outcomes,
      ...(resolved.tlsCert === undefined ? {} : { tlsCert: resolved.tlsCert }),
      ...(resolved.tlsKey === undefined ? {} : { tlsKey: resolved.tlsKey }),
    },
  };
}

/** Who tells what became of a request. */
export type OutcomeSource = 'stream' | 'access-log';

function defaultGrpc(profile: ProfileName): GrpcAddress | undefined {
  return profile === 'own' ? undefined : PICKER_ADDRESS;
}

function isOnUnixSocket(raw: Readonly<Record<string, unknown>>): boolean {
  const isWrong = raw.grpc !== undefined && !grpcAddress.safeParse(raw.grpc).success;
  return !isWrong && grpcOf(raw)?.kind !== 'tcp';
}
