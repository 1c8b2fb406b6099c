import { CLUSTER, HEADER, LOG } from '../names.ts';
import { extension, type Message } from './message.ts';

/**
 * One entry for every request that ends. What they teach is not urgent, as leases end with the ext_proc stream: entries
 * travel together, which halves what the log costs.
 */
export function requestLog(): Message {
  return { name: 'requests', ...grpcLog(LOG.requests, 32_768) };
}

/**
 * One entry for every attempt that fails, at the moment it fails, as leases move on it: the request itself may run on
 * for minutes.
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
  return { name: 'attempts', filter: failed, ...grpcLog(LOG.attempts, 0) };
}

/** `bufferBytes` are collected for up to 50 ms; 0: every entry is sent at once. */
function grpcLog(logName: string, bufferBytes: number): Message {
  return extension(logName, 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig', {
    common_config: {
      log_name: logName,
      transport_api_version: 'V3',
      grpc_service: { envoy_grpc: { cluster_name: CLUSTER.feeds, skip_envoy_headers: true } },
      buffer_size_bytes: bufferBytes,
      buffer_flush_interval: '0.05s',
    },
    additional_request_headers_to_log: [HEADER.decision],
    additional_response_headers_to_log: ['retry-after'],
  });
}
