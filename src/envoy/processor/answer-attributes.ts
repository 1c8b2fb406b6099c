import type { ProcessingRequest } from '../gen/envoy/service/ext_proc/v3/external_processor.ts';
import { structNumber, structString } from '../grpc/well-known.ts';

/** Filters of a request whose attributes are looked at. One asks for them, and it is ours. */
const MAX_FILTERS = 8;

/** Envoy's attributes as filters asked for them (`response_attributes`), of each filter a Struct, whatever it is called. */
export type Attributes = readonly unknown[];

export function attributesOf({ attributes }: ProcessingRequest): Attributes {
  const structs: unknown[] = [];
  for (const filter in attributes ?? {}) {
    structs.push(attributes?.[filter]);
    if (structs.length === MAX_FILTERS) break;
  }
  return structs;
}

export function attributeText(attributes: Attributes, name: string): string | undefined {
  for (const struct of attributes) {
    const text = structString(struct, name);
    if (text !== undefined) return text;
  }
  return undefined;
}

export function attributeNumber(attributes: Attributes, name: string): number | undefined {
  for (const struct of attributes) {
    const number = structNumber(struct, name);
    if (number !== undefined) return number;
  }
  return undefined;
}
