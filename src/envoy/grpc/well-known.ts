/** google.protobuf.Struct and wrappers as proto-loader gives them; the generated types describe other shapes. */

/** Struct → its string, number and boolean fields; other kinds are left out. `undefined` gives no fields. */
export function structFields(struct: unknown): ReadonlyMap<string, string | number | boolean> {
  const out = new Map<string, string | number | boolean>();
  if (!isObject(struct) || !isObject(struct.fields)) return out;
  for (const [name, value] of Object.entries(struct.fields)) {
    if (!isObject(value)) continue;
    const scalar = value.stringValue ?? value.numberValue ?? value.boolValue;
    if (typeof scalar === 'string' || typeof scalar === 'number' || typeof scalar === 'boolean')
      out.set(name, scalar);
  }
  return out;
}

/** One string field of a Struct, without looking at the others. */
export function structString(struct: unknown, name: string): string | undefined {
  const text = structField(struct, name)?.stringValue;
  return typeof text === 'string' ? text : undefined;
}

/** The same for a number. */
export function structNumber(struct: unknown, name: string): number | undefined {
  const number = structField(struct, name)?.numberValue;
  return typeof number === 'number' ? number : undefined;
}

function structField(struct: unknown, name: string): Record<string, unknown> | undefined {
  if (!isObject(struct) || !isObject(struct.fields)) return undefined;
  const value = Object.hasOwn(struct.fields, name) ? struct.fields[name] : undefined;
  return isObject(value) ? value : undefined;
}

/**
 * A field that is a string or a list: its strings, at most `most` items looked at, other kinds left out. Undefined where the
 * Struct has no such field.
 */
export function structStrings(struct: unknown, name: string, most: number): readonly string[] | undefined {
  if (!isObject(struct) || !isObject(struct.fields) || !Object.hasOwn(struct.fields, name)) return undefined;
  const value = struct.fields[name];
  if (!isObject(value)) return [];
  if (typeof value.stringValue === 'string') return [value.stringValue];
  const values = isObject(value.listValue) ? value.listValue.values : undefined;
  if (!Array.isArray(values)) return [];
  const out: string[] = [];
  for (const item of values.slice(0, most))
    if (isObject(item) && typeof item.stringValue === 'string') out.push(item.stringValue);
  return out;
}

/** Strings and nested objects of strings → Struct. */
export interface Fields {
  readonly [name: string]: string | Fields;
}
export type Struct = { readonly fields: { readonly [name: string]: StructValue } };
type StructValue = { readonly stringValue: string } | { readonly structValue: Struct };

export function toStruct(values: Fields): Struct {
  const fields: Record<string, StructValue> = {};
  for (const [name, value] of Object.entries(values))
    fields[name] = typeof value === 'string' ? { stringValue: value } : { structValue: toStruct(value) };
  return { fields };
}

/** `{ value }` of UInt32Value and its like. */
export function unwrapNumber(wrapper: unknown): number | undefined {
  if (!isObject(wrapper)) return undefined;
  return typeof wrapper.value === 'number' ? wrapper.value : 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
