import type { Server } from '@grpc/grpc-js';

/** Streams that a peer may reset at once, and per second: Envoy resets one for every hang-up and timeout. */
const RESETS = { streamResetBurst: 1_000_000, streamResetRate: 1_000_000 };

/**
 * Lets Envoy reset as many streams as it must. Node's HTTP/2 server answers about 1,000 resets with GOAWAY, which
 * fails every open stream, and grpc-js has no public option for the limit. Its private field holds the very object
 * that is given to `http2.createServer`. Throws where a later grpc-js no longer has it: routing must not limp.
 */
export function raiseResetLimits(server: Server): void {
  const options: unknown = Reflect.get(server, 'commonServerOptions');
  if (typeof options !== 'object' || options === null)
    throw new Error(
      'this version of @grpc/grpc-js keeps its HTTP/2 options elsewhere (no commonServerOptions): ' +
        'stream reset limits cannot be raised; install the version that package.json pins',
    );
  Object.assign(options, RESETS);
}
