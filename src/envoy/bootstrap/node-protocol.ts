import { METADATA } from '../names.ts';
import { any, extension, type Message } from './message.ts';
import type { TlsTransport } from './options.ts';

/** HTTP/1.1 to nodes, with each node's own token on each attempt and never the client's. */
export function nodeProtocol(): Message {
  const token = `%UPSTREAM_METADATA(${METADATA.warmpath}:authorization)%`;
  return any('envoy.extensions.upstreams.http.v3.HttpProtocolOptions', {
    explicit_http_config: { http_protocol_options: {} },
    http_filters: [
      extension('node-auth', 'envoy.extensions.filters.http.header_mutation.v3.HeaderMutation', {
        mutations: {
          request_mutations: [
            { remove: 'authorization' },
            // auto_host_rewrite leaves the name of the node tried first here.
            { remove: 'x-envoy-original-host' },
            {
              append: {
                header: { key: 'authorization', value: token },
                append_action: 'OVERWRITE_IF_EXISTS_OR_ADD',
                keep_empty_value: false,
              },
            },
          ],
        },
      }),
      extension('codec', 'envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec'),
    ],
  });
}

function namedBy(address: string): Message {
  return { match_typed_subject_alt_names: [{ san_type: 'IP_ADDRESS', matcher: { exact: address } }] };
}

/** One transport socket per way of talking TLS, chosen by the endpoint's metadata; plain for all others. */
export function transportSockets(transports: readonly TlsTransport[]): readonly Message[] {
  return [
    ...transports.map(({ name, caFile, address }) => ({
      name,
      match: { tls: name },
      transport_socket: extension(
        'envoy.transport_sockets.tls',
        'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext',
        {
          // Neither is for addresses: they are no server names, and certificates have them in another field.
          ...(address === undefined ? { auto_host_sni: true, auto_sni_san_validation: true } : {}),
          common_tls_context: {
            validation_context: {
              trusted_ca: { filename: caFile },
              ...(address === undefined ? {} : namedBy(address)),
            },
          },
        },
      ),
    })),
    {
      name: 'plain',
      match: {},
      transport_socket: extension(
        'envoy.transport_sockets.raw_buffer',
        'envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer',
      ),
    },
  ];
}
