import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structFields } from '../grpc/well-known.ts';

/** Filters of a request whose attributes are looked at. One asks for them, and it is ours. */
const MAX_FILTERS = 8;

export type Attributes = ReadonlyMap<string, string | number | boolean>;

const NONE: Attributes = new Map();

/** Envoy's attributes as the filter asked for them (`response_attributes`), whatever the filter is called. */
export function attributesOf({ attributes }: ProcessingRequest): Attributes {
  if (attributes === undefined || attributes === null) return NONE;
  const filters = Object.keys(attributes).slice(0, MAX_FILTERS);
  const [only] = filters;
  if (only === undefined) return NONE;
  if (filters.length === 1) return structFields(attributes[only]);
  return new Map(filters.flatMap((filter) => [...structFields(attributes[filter])]));
}

export function attributeText(attributes: Attributes, name: string): string | undefined {
  const value = attributes.get(name);
  return typeof value === 'string' ? value : undefined;
}

export function attributeNumber(attributes: Attributes, name: string): number | undefined {
  const value = attributes.get(name);
  return typeof value === 'number' ? value : undefined;
}
