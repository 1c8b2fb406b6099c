import { extension, type Message } from './message.ts';
import type { Limits } from './options.ts';

/** What Envoy gives up first when it runs out of memory or connections. */
export function overloadManager({ connections, heapBytes }: Limits): Message {
  const connectionLimit = extension(
    'envoy.resource_monitors.global_downstream_max_connections',
    'envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig',
    { max_active_downstream_connections: connections },
  );
  if (heapBytes === undefined) return { resource_monitors: [connectionLimit] };
  return {
    refresh_interval: '0.25s',
    resource_monitors: [
      connectionLimit,
      extension(HEAP, 'envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig', {
        max_heap_size_bytes: heapBytes,
      }),
    ],
    actions: [
      above('envoy.overload_actions.shrink_heap', 0.85),
      above('envoy.overload_actions.disable_http_keepalive', 0.9),
      above('envoy.overload_actions.stop_accepting_requests', 0.95),
    ],
  };
}

const HEAP = 'envoy.resource_monitors.fixed_heap';

function above(name: string, share: number): Message {
  return { name, triggers: [{ name: HEAP, threshold: { value: share } }] };
}
