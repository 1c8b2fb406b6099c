/** A message of Envoy's configuration, as it is printed: field names and enums exactly as in Envoy's protos. */
export type Message = Readonly<Record<string, unknown>>;

/** An extension by name, with its configuration as an `Any`. */
export function extension(name: string, type: string, fields: Message = {}): Message {
  return { name, typed_config: any(type, fields) };
}

/** A message packed into an `Any`. */
export function any(type: string, fields: Message = {}): Message {
  return { '@type': `type.googleapis.com/${type}`, ...fields };
}

/** A protobuf duration. */
export function seconds(ms: number): string {
  return `${ms / 1000}s`;
}
