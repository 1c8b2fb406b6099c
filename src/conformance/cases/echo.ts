import { isDeepStrictEqual } from 'node:util';
import { demand } from '../case.ts';
import { type Answer, describe, echoOf } from '../exchange/answer.ts';

/** Headers, then the body, then trailers; nothing of the other phase. */
export function demandOrder(answer: Answer, phase: 'request' | 'response'): void {
  const order = [`${phase}_headers`, `${phase}_body`, `${phase}_trailers`];
  let at = 0;
  let headers = 0;
  for (const { response } of answer.replies) {
    if (response === undefined) continue; // more time asked for
    const place = order.indexOf(response);
    demand(place >= at, `${order.join(', ')} in this order`, describe(answer));
    at = place;
    if (place === 0) headers += 1;
  }
  demand(headers === 1, 'one answer to the headers', describe(answer));
}

/** The body arrives as it was sent, or as JSON that says the same but for the model's name and further fields. */
export function demandWhole(answer: Answer, kind: 'request_body' | 'response_body', sent: Buffer): void {
  const { bytes } = echoOf(answer, kind);
  if (bytes.equals(sent)) return;
  demand(
    saysTheSame(sent, bytes),
    `the body whole, ${sent.length} B`,
    `${bytes.length} B${bytes.length > 0 ? `, other from byte ${firstDifference(sent, bytes)}` : ''} (${describe(answer)})`,
  );
}

function saysTheSame(sent: Buffer, got: Buffer): boolean {
  const [before, after] = [parse(sent), parse(got)];
  if (before === undefined || after === undefined) return false;
  return Object.entries(before).every(
    ([name, value]) => name === 'model' || isDeepStrictEqual(after[name], value),
  );
}

function parse(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === 'object' && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function firstDifference(a: Buffer, b: Buffer): number {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i += 1) if (a[i] !== b[i]) return i;
  return end;
}
