import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CASES } from '../../src/conformance/cases/all.ts';
import { Picker } from '../../src/conformance/picker.ts';
import { type CaseResult, runCases } from '../../src/conformance/run.ts';
import { type Fault, TinyPicker } from '../support/tiny-picker.ts';

const documented = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8');
const ENDPOINTS = ['127.0.0.1:13001', '127.0.0.1:13002', '127.0.0.2:13001'];
/** They move megabytes or thousands of streams; against a picker that is right they run once. */
const HEAVY = ['DUP-6', 'DUP-19', 'BUF-5', 'ISO-8', 'ISO-10', 'RES-4'];

/** Which cases each fault must fail, of those in these groups; and no other. */
const FAULTS: readonly { fault: Fault; groups: readonly string[]; fails: readonly string[] }[] = [
  { fault: 'metadata_differs', groups: ['HDR', 'DST', 'BUF'], fails: ['HDR-2', 'DST-3', 'DST-9', 'BUF-2'] },
  {
    fault: 'no_metadata',
    groups: ['HDR', 'DST', 'BUF'],
    fails: ['HDR-2', 'DST-2', 'DST-3', 'DST-5', 'DST-9', 'BUF-2'],
  },
  { fault: 'names_instead_of_addresses', groups: ['HDR', 'DST'], fails: ['DST-4', 'DST-8'] },
  { fault: 'old_header_value', groups: ['HDR', 'DST'], fails: ['DST-6'] },
  { fault: 'keeps_route_cache', groups: ['HDR', 'DST'], fails: ['DST-7'] },
  { fault: 'trusts_clients_header', groups: ['HDR', 'DST'], fails: ['DST-9'] },
  {
    fault: 'no_end_of_stream',
    groups: ['DST-3', 'DUP-1', 'DUP-4', 'DUP-13', 'DUP-17', 'DUP-18'],
    fails: ['DUP-13'],
  },
  { fault: 'large_pieces', groups: ['DUP', 'RES'], fails: ['DUP-14', 'RES-5'] },
  {
    fault: 'body_before_headers',
    groups: ['DST-3', 'DUP-4', 'DUP-11', 'DUP-12', 'DUP-15', 'DUP-17'],
    fails: ['DUP-4', 'DUP-11', 'DUP-17'],
  },
  {
    fault: 'loses_last_byte',
    groups: ['DST', 'DUP-2', 'DUP-3', 'DUP-7', 'DUP-11', 'DUP-12', 'DUP-13', 'DUP-17'],
    fails: ['DUP-2', 'DUP-3', 'DUP-7', 'DUP-17'],
  },
  { fault: 'wrong_content_length', groups: ['DST', 'DUP-15', 'DUP-2'], fails: ['DUP-15'] },
  { fault: 'answers_second_end', groups: ['DST', 'DUP'], fails: ['DUP-16'] },
  { fault: 'ignores_trailers', groups: ['DUP-11', 'DUP-13', 'DUP-17', 'DUP-18', 'RES'], fails: ['DUP-17'] },
  {
    fault: 'whole_body_in_one_mutation',
    groups: ['DST-3', 'DUP-12', 'DUP-13'],
    fails: ['DUP-12', 'DUP-13'],
  },
  {
    fault: 'ignores_subset',
    groups: ['DST', 'SUB'],
    fails: ['SUB-1', 'SUB-2', 'SUB-3', 'SUB-4', 'SUB-6', 'SUB-7', 'SUB-8'],
  },
  {
    fault: 'fallback_outside_subset',
    groups: ['DST', 'SUB'],
    fails: ['SUB-1', 'SUB-2', 'SUB-6', 'SUB-7', 'SUB-8'],
  },
  { fault: 'error_500_for_empty_subset', groups: ['SUB'], fails: ['SUB-3', 'SUB-4'] },
  { fault: 'holds_response_back', groups: ['DUP-2', 'RES'], fails: ['RES-2', 'RES-7'] },
  {
    fault: 'breaks_on_bad_json',
    groups: ['DST-3', 'DUP-1', 'DUP-2', 'REF'],
    fails: ['DUP-1', 'REF-1', 'REF-4'],
  },
  { fault: 'one_buffer_for_all', groups: ['DST-3', 'DUP-4', 'ISO-1'], fails: ['ISO-1'] },
  { fault: 'every_health_name', groups: ['HLT'], fails: ['HLT-5'] },
];

const tiny = new TinyPicker(ENDPOINTS);
const empty = new TinyPicker([]);
let ports: { tiny: number; empty: number };

beforeAll(async () => {
  ports = { tiny: await tiny.start(), empty: await empty.start() };
});

afterAll(() => {
  tiny.stop();
  empty.stop();
});

describe('the conformance suite', () => {
  it('passes a picker that keeps the protocol, heavy cases and all', async () => {
    const results = await run(
      undefined,
      CASES.map(({ id }) => id),
      5_000,
    );
    const left = results.filter(({ result }) => result !== 'pass').map(({ id }) => id);
    // It changes no body, knows no load, and is not to be ended. Resets are counted by the HTTP/2 server that it is made with.
    expect(left).toEqual(['DUP-15', 'BUF-4', 'SRV-5', 'ISO-10', 'DRN-1', 'DRN-2', 'DRN-3']);
    expect(results.filter(({ result }) => result === 'fail').map(({ id }) => id)).toEqual(['ISO-10']);
  });

  it.each(FAULTS)('fails exactly the cases that $fault breaks', async ({ fault, groups, fails }) => {
    const ids = CASES.map(({ id }) => id).filter(
      (id) => !HEAVY.includes(id) && groups.some((group) => id === group || id.startsWith(`${group}-`)),
    );
    const failed = (await run(fault, ids, 700)).filter(({ result }) => result === 'fail');
    expect(failed.map(({ id }) => id).sort()).toEqual([...fails].sort());
  });

  it('says of a picker that has ended which case ended it, and skips the rest', async () => {
    const mortal = new TinyPicker(ENDPOINTS);
    const picker = pickerAt(await mortal.start(), 400);
    const [first, second] = CASES;
    const fatal = {
      ...(first as (typeof CASES)[number]), // there are dozens
      run: () => {
        mortal.stop();
        throw new Error('no answer');
      },
    };
    const results = await runCases(picker, [fatal, second as (typeof CASES)[number]]);
    expect(results.map(({ result }) => result)).toEqual(['fail', 'skip']);
    expect(JSON.stringify(results[0])).toContain('nothing answers any more');
  });

  it('has an id of its own for each case, and its documentation lists them all', () => {
    expect(new Set(CASES.map(({ id }) => id)).size).toBe(CASES.length);
    const rows = documented.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
    const listed = rows.filter(([, id = '']) => /^[A-Z]{3}-\d+$/.test(id));
    expect(listed.map(([, id, level, title, source]) => ({ id, level, title, source }))).toEqual(
      CASES.map(({ id, level, title, source }) => ({ id, level, title, source })),
    );
  });
});

async function run(
  fault: Fault | undefined,
  ids: readonly string[],
  timeoutMs: number,
): Promise<readonly CaseResult[]> {
  tiny.fault = fault;
  const cases = CASES.filter(({ id }) => ids.includes(id));
  return await runCases(pickerAt(ports.tiny, timeoutMs), cases);
}

function pickerAt(port: number, timeoutMs: number): Picker {
  const target = { host: '127.0.0.1', port, isTls: false };
  return new Picker({
    target,
    health: target,
    empty: { ...target, port: ports.empty },
    endpoints: ENDPOINTS,
    model: 'llama3.2',
    path: '/v1/chat/completions',
    pid: undefined,
    timeoutMs,
  });
}
