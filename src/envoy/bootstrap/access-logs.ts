import { CLUSTER, HEADER, LOG } from '../names.ts';
import { extension, type Message } from './message.ts';

/** One entry for every request that ends. */
export function requestLog(): Message {
  return { name: 'requests', ...grpcLog(LOG.requests) };
}

/**
 * One entry for every attempt that fails, at the moment it fails: the request itself may run on for minutes.
 * Filtered here, so that an attempt that serves costs nothing.
 */
export function failedAttemptLog(): Message {
  const failed = {
    or_filter: {
      filters: [
        {
          status_code_filter: {
            comparison: { op: 'GE', value: { default_value: 400, runtime_key: 'none' } },
          },
        },
        { response_flag_filter: { flags: ['UF', 'UC', 'UR', 'UT', 'UPE', 'LR', 'UO', 'UH'] } },
      ],
    },
  };
  return { name: 'attempts', filter: failed, ...grpcLog(LOG.attempts) };
}

function grpcLog(logName: string): Message {
  return extension(logName, 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
    common_config: {
      log_name: logName,
      transport_api_version: 'V3',
      grpc_service: { envoy_grpc: { cluster_name: CLUSTER.feeds } },
      // Sent at once: leases move on what is said here.
      buffer_size_bytes: 0,
      buffer_flush_interval: '0.02s',
    },
    additional_request_headers_to_log: [HEADER.decision],
    additional_response_headers_to_log: ['retry-after'],
  });
}
