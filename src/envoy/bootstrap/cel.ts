import type { Message } from './message.ts';

/** CEL in parsed form: RBAC takes no text. Only what our own policies need. */
export const cel = {
  ident: (name: string): Message => ({ ident_expr: { name } }),
  select: (operand: Message, field: string): Message => ({ select_expr: { operand, field } }),
  index: (operand: Message, key: Message): Message => call('_[_]', [operand, key]),
  string: (value: string): Message => ({ const_expr: { string_value: value } }),
  int: (value: number): Message => ({ const_expr: { int64_value: value } }),
  size: (of: Message): Message => call('size', [of]),
  add: (a: Message, b: Message): Message => call('_+_', [a, b]),
  equals: (a: Message, b: Message): Message => call('_==_', [a, b]),
  and: (a: Message, b: Message): Message => call('_&&_', [a, b]),
  or: (a: Message, b: Message): Message => call('_||_', [a, b]),
  startsWith: (a: Message, b: Message): Message => call('startsWith', [b], a),
  endsWith: (a: Message, b: Message): Message => call('endsWith', [b], a),
};

function call(fn: string, args: readonly Message[], target?: Message): Message {
  return { call_expr: { function: fn, args, ...(target === undefined ? {} : { target }) } };
}
