import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LastKnownFile } from '../../../../src/envoy/endpoints/last-known.ts';
import { MemoryLog } from '../grpc/harness.ts';
import { endpoint, setOf } from './fixtures.ts';

let folder: string;
let path: string;
let log: MemoryLog;
let file: LastKnownFile;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warmpath-known-'));
  path = join(folder, 'state', 'nodes.yaml');
  log = new MemoryLog();
  file = new LastKnownFile(path, log);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('the file of last known nodes', () => {
  it('F13 exists from the first start on, ready for Envoy', async () => {
    await file.ensure();
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({ version_info: '0', resources: [] });
    expect(await file.read()).toBeUndefined();
    expect(log.lines).toEqual([]);
  });

  it('brings back what was written', async () => {
    const set = {
      endpoints: [
        endpoint('n1', { token: 'secret', transport: 'tls' }),
        endpoint('n2', { address: '[fd00::2]:80', isHealthy: false }),
        endpoint('n3', { isDraining: true }),
      ],
    };
    await file.ensure();
    await file.write(set, 57);
    expect(await new LastKnownFile(path, log).read()).toEqual({ set, version: 57 });
  });

  it('without a single node is no news, and no damage either', async () => {
    await file.ensure();
    await file.write({ endpoints: [] }, 2);
    expect(await new LastKnownFile(path, log).read()).toBeUndefined();
    expect(log.lines).toEqual([]);
  });

  it('is what Envoy reads: protobuf’s JSON with plain metadata', async () => {
    await file.ensure();
    await file.write({ endpoints: [endpoint('n1', { token: 'secret' })] }, 3);
    expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
      version_info: '3',
      resources: [
        {
          '@type': 'type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment',
          cluster_name: 'nodes_last_known',
          endpoints: [
            {
              lb_endpoints: [
                {
                  endpoint: {
                    address: { socket_address: { address: '10.0.0.1', port_value: 11434 } },
                    hostname: 'n1:11434',
                  },
                  health_status: 1,
                  metadata: {
                    filter_metadata: {
                      warmpath: { name: 'n1', authorization: 'Bearer secret' },
                      'envoy.transport_socket_match': { tls: 'plain' },
                    },
                  },
                },
              ],
            },
          ],
        },
      ],
    });
  });

  it('is for its owner alone, whatever lay there before, and leaves no other file', async () => {
    await file.ensure();
    chmodSync(path, 0o644);
    await file.write(setOf('n1'), 1);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(folder, 'state'))).toEqual(['nodes.yaml']);
  });

  it('is replaced, not written in place: Envoy sees only renames', async () => {
    await file.ensure();
    const before = statSync(path).ino;
    await file.write(setOf('n1'), 1);
    const after = statSync(path).ino;
    expect(after).not.toBe(before);
    await file.write(setOf('n1'), 1);
    expect(statSync(path).ino).toBe(after);
  });

  it('ends with the last of many writes', async () => {
    await file.ensure();
    const writes = Array.from({ length: 50 }, (_, i) => file.write(setOf(`n${i + 1}`), i + 1));
    await Promise.all(writes);
    expect((await file.read())?.version).toBe(50);
  });

  it('F82 a folder that cannot be written is reported, and the next write tries again', async () => {
    writeFileSync(join(folder, 'state'), 'a file where the folder should be');
    await file.write(setOf('n1'), 1);
    expect(log.count('error')).toBe(1);
    rmSync(join(folder, 'state'));
    mkdirSync(join(folder, 'state'));
    await file.write(setOf('n1'), 1);
    expect((await file.read())?.version).toBe(1);
  });

  it.each([
    { name: 'not JSON', text: '{' },
    { name: 'nothing', text: '' },
    {
      name: 'another shape',
      text: '{"version_info":"1","resources":[{"endpoints":[{"lb_endpoints":[{}]}]}]}',
    },
    { name: 'no endpoint', text: '{"version_info":"1","resources":[{"endpoints":[]}]}' },
    { name: 'a version that is not a number', text: '{"version_info":"x","resources":[]}' },
  ])('F83 a file with $name is not believed', async ({ text }) => {
    await file.ensure();
    writeFileSync(path, text);
    expect(await file.read()).toBeUndefined();
    await file.write(setOf('n1'), 1);
    expect((await file.read())?.set).toEqual(setOf('n1'));
  });
});
