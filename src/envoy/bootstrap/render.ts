import { stringify } from 'yaml';
import { clusters } from './clusters.ts';
import { clientListener } from './listener.ts';
import type { Message } from './message.ts';
import type { BootstrapOptions, SocketTarget } from './options.ts';
import { overloadManager } from './overload.ts';
import { address } from './sockets.ts';

/** The whole configuration of our own Envoy as one YAML document; the Lua filters are part of it. */
export function renderBootstrap(options: BootstrapOptions): string {
  return stringify(bootstrap(options), { lineWidth: 0, aliasDuplicateObjects: false });
}

function bootstrap(options: BootstrapOptions): Message {
  return {
    node: { id: 'warmpath', cluster: 'warmpath' },
    admin: { address: adminAddress(options.admin) },
    layered_runtime: { layers: [{ name: 'warmpath', static_layer: RUNTIME }] },
    overload_manager: overloadManager(options.limits),
    static_resources: {
      listeners: [clientListener(options)],
      clusters: clusters(options),
    },
  };
}

/** For its owner only: the page that dumps the configuration shows the nodes' tokens. */
function adminAddress(target: SocketTarget): Message {
  return target.kind === 'unix' ? { pipe: { path: target.path, mode: 0o600 } } : address(target);
}

const RUNTIME = {
  // Without it each finished ext_proc stream is a reset, and Node's HTTP/2 server gives up after a thousand.
  'envoy.reloadable_features.ext_proc_graceful_grpc_close': true,
  // The default of 100 is for expressions of strangers; ours come from this program and its configuration.
  're2.max_program_size.error_level': 10_000,
  're2.max_program_size.warn_level': 10_000,
};
