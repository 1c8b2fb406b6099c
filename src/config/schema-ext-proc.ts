import * as z from 'zod';
import { PROFILE_NAMES } from '../app/ext-proc-profile.ts';
import { REQUEST_CLASSES } from '../waiting/types.ts';
import { hostPort } from './host-port.ts';
import { flag, oneOf, oneOfOrOff, text, whole } from './schema-values.ts';

/** Settings of the ext_proc service: for whom it answers, and how those reach it. */

const MAX_OBJECTIVES = 1_000;
/** As Kubernetes names its objects. */
const OBJECTIVE = /^[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?$/;

export const extProcKeys = {
  profile: oneOf(PROFILE_NAMES).prefault('own'),
  /** Endpoints in an answer at least, where there are as many nodes: a gateway's own number of retries and one. */
  minEndpoints: whole(1, 20).prefault(1),
  tls: oneOfOrOff(['off', 'self-signed', 'files']).prefault('off'),
  tlsCert: text('a path').optional(),
  tlsKey: text('a path').optional(),
  /** gRPC health without TLS on a port of its own. */
  health: hostPort.optional(),
  /** Whether `test-epp-endpoint-selection` is heeded: conformance tests only. */
  testSelection: flag.prefault(false),
  /** Who tells what became of a request; auto: our own Envoy its access log, others the ext_proc stream. */
  outcomes: oneOf(['auto', 'stream', 'access-log']).prefault('auto'),
  /** How urgent the requests of each InferenceObjective are. */
  objectives: z
    .record(
      z.string().regex(OBJECTIVE, 'is no name of an InferenceObjective'),
      oneOf(REQUEST_CLASSES),
      'expected a section of NAME: CLASS',
    )
    .refine(
      (objectives) => Object.keys(objectives).length <= MAX_OBJECTIVES,
      `has more than ${MAX_OBJECTIVES} names`,
    )
    .prefault({}),
};
