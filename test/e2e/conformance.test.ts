import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { CASES } from '../../src/conformance/cases/all.ts';
import { Picker, type PickerOptions } from '../../src/conformance/picker.ts';
import { type CaseResult, runCases } from '../../src/conformance/run.ts';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { freePort } from '../support/free-port.ts';
import { type SpawnedProcess, spawnProcess } from '../support/spawn-process.ts';
import { type TempDir, tempDir } from '../support/temp-dir.ts';
import { waitFor } from '../support/wait-for.ts';

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
const COMMAND = fileURLToPath(new URL('../../src/conformance/main.ts', import.meta.url));
const MODEL = 'llama3.2:1b';
/** Another name for it: the body that goes on names the model itself. */
const ALIAS = 'gpt-4o';
const SERVING = 1;

interface Served {
  readonly process: SpawnedProcess;
  readonly grpc: number;
  readonly health: number;
}

let dir: TempDir;
let fleet: SimulatedFleet;
let plain: Served;
let tls: Served;
let empty: Served;

beforeAll(async () => {
  dir = tempDir('wp-conformance-');
  fleet = await startFleet(3, { models: [{ name: MODEL, sizeBytes: 1_300_000_000 }], slots: 64 });
  const nodes = fleet.specs.map((spec) => ({ ...spec, slots: 64 }));
  [plain, tls, empty] = await Promise.all([
    serve('plain', ['--profile', 'epp'], nodes),
    serve('tls', ['--profile', 'epp-single', '--grpc-tls', 'self-signed'], nodes),
    serve('empty', ['--profile', 'epp'], []),
  ]);
  const ready = [plain, tls].map(({ health, process }) =>
    waitFor(
      'readiness',
      async () => {
        const picker = pickerOf({ health: at(health) });
        const { serving } = await picker.health('readiness').finally(() => picker.disconnect());
        return serving === SERVING;
      },
      { gaveUp: () => (process.isRunning ? undefined : process.output), timeoutMs: 20_000 },
    ),
  );
  await Promise.all(ready);
}, 60_000);

afterAll(async () => {
  // How they drain is a case of the suite; here they need not.
  await Promise.all([plain, tls, empty].map((served) => served?.process.stop(0)));
  await fleet?.close();
  dir?.remove();
});

describe('warmpath serve --profile epp', () => {
  it('keeps the Endpoint Picker Protocol, from the first request to SIGTERM', async () => {
    const results = await runCases(
      pickerOf({
        target: at(plain.grpc),
        health: at(plain.health),
        empty: at(empty.grpc),
        pid: plain.process.pid,
      }),
      CASES,
    );
    expect(failures(results)).toEqual([]);
    // It answers reads by itself, and has nothing to change in these bodies.
    const untried = results.filter(({ result }) => result === 'skip' || result === 'not applicable');
    const known = ['HDR-2', 'DUP-15', 'BUF-4', 'SUB-6', 'SRV-5'];
    expect(untried.map(({ id }) => id).filter((id) => !known.includes(id))).toEqual([]);
  });
});

describe('warmpath serve --profile epp-single --grpc-tls self-signed', () => {
  it('keeps the Endpoint Picker Protocol over TLS, with one endpoint in each answer', async () => {
    const picker = pickerOf({ target: { ...at(tls.grpc), isTls: true }, health: at(tls.health) });
    const groups = ['HLT', 'HDR', 'DST', 'SUB', 'REF', 'DUP-5', 'DUP-17', 'RES-2', 'SRV-1'];
    const cases = CASES.filter(({ id }) => groups.some((each) => id === each || id.startsWith(`${each}-`)));
    expect(failures(await runCases(picker, cases))).toEqual([]);
    const picked = await picker.pick();
    picker.disconnect();
    expect(picked).toMatchObject({ kind: 'picked', endpoints: [expect.any(String)] });
  });
});

describe('a body that is changed on its way', () => {
  it('arrives whole but for the name of its model, with its new length', async () => {
    const picker = pickerOf({ target: { ...at(tls.grpc), isTls: true }, model: ALIAS });
    const ids = ['DUP-2', 'DUP-3', 'DUP-4', 'DUP-5', 'DUP-9', 'DUP-13', 'DUP-15', 'DUP-17'];
    const changed = [...ids, 'BUF-1', 'BUF-2', 'BUF-3', 'BUF-4'];
    const results = await runCases(
      picker,
      CASES.filter(({ id }) => changed.includes(id)),
    );
    expect(results.filter(({ result }) => result !== 'pass')).toEqual([]);
  });
});

describe('npm run conformance', () => {
  const run = async (args: readonly string[]) => {
    const child = spawnProcess(process.execPath, [COMMAND, ...args]);
    return { ...(await child.exited), output: child.output };
  };

  it('prints a line per case and the counts, and says in its exit code that a MUST is not met', async () => {
    const port = String(tls.grpc);
    const args = ['--target', `127.0.0.1:${port}`, '--tls', '--model', MODEL];
    const good = await run([...args, '--only', 'DST-3,SUB-3']);
    expect(good.output).toMatch(/pass +MUST +DST-3/);
    expect(good.output).toMatch(/2 passed, 0 failed/);
    expect(good.code).toBe(0);
    // Endpoints that it does not have.
    const bad = await run([...args, '--only', 'DST-8', '--endpoints', '192.0.2.1:1', '--json']);
    expect(JSON.parse(bad.output)).toMatchObject({ counts: { fail: 1, failedMust: 1 } });
    expect(bad.code).toBe(1);
  });

  it('says what to do where no picker answers, the model is unknown or a flag is wrong', async () => {
    const plainly = await run(['--target', `127.0.0.1:${tls.grpc}`]);
    expect(plainly.output).toMatch(/give --tls/);
    const unknown = await run(['--target', `127.0.0.1:${tls.grpc}`, '--tls', '--model', 'nobody-has-this']);
    expect(unknown.output).toMatch(/--model/);
    const wrong = await run(['--target', 'nowhere']);
    expect(wrong.output).toMatch(/--target takes HOST:PORT/);
    expect([plainly.code, unknown.code, wrong.code]).toEqual([2, 2, 2]);
  });
});

async function serve(
  name: string,
  args: readonly string[],
  nodes: readonly { name: string; url: string; slots: number }[],
): Promise<Served> {
  const [grpc, health, admin] = [await freePort(), await freePort(), await freePort()];
  const config = join(dir.path, `${name}.yaml`);
  writeFileSync(config, stringify({ nodes, models: { [ALIAS]: MODEL } }));
  const places = ['--grpc', `127.0.0.1:${grpc}`, '--health', `127.0.0.1:${health}`];
  const more = ['--admin', `127.0.0.1:${admin}`, '--state-dir', join(dir.path, name), '--config', config];
  const child = spawnProcess(process.execPath, [MAIN, 'serve', ...args, ...places, ...more], {
    env: { WARMPATH_CONFIG: undefined, WARMPATH_NODES: undefined },
  });
  await child.waitForOutput(/control plane is listening/);
  return { process: child, grpc, health };
}

function pickerOf(options: Partial<PickerOptions>): Picker {
  return new Picker({
    target: at(0),
    health: at(0),
    empty: undefined,
    endpoints: fleet.nodes.map(({ url }) => new URL(url).host),
    model: MODEL,
    path: '/v1/chat/completions',
    pid: undefined,
    timeoutMs: 5_000,
    ...options,
  });
}

function at(port: number) {
  return { host: '127.0.0.1', port, isTls: false };
}

/** With what was expected and seen, so that a failing test says it. */
function failures(results: readonly CaseResult[]): CaseResult[] {
  return results.filter(({ result }) => result === 'fail');
}
