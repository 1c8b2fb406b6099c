import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { checkForOwnEnvoy } from '../../../src/cli/own-envoy.ts';
import { diffConfig } from '../../../src/config/diff.ts';
import { type LoadOptions, loadConfig } from '../../../src/config/load.ts';
import { writeCertificate } from '../../support/certificate.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';
import { problemsOf } from './load-text.ts';

let dir: TempDir;

beforeAll(() => {
  dir = tempDir();
  for (const name of ['a', 'b'])
    writeCertificate({ key: join(dir.path, `${name}.key`), cert: join(dir.path, `${name}.pem`) }, { name });
});
afterAll(() => dir.remove());

const env = { HOME: '/home/me' };
function load(text: string, options: Partial<LoadOptions> = {}) {
  const file = join(dir.path, 'w.yaml');
  writeFileSync(file, text);
  return loadConfig({ file, env, localIps: [], ...options });
}

describe('the ext_proc section', () => {
  it('leaves gRPC on its Unix socket for our own Envoy, and has outcomes from its access log', async () => {
    const { config } = await load('');
    expect(config.grpc).toBeUndefined();
    expect(config.extProc).toMatchObject({ profile: 'own', outcomes: 'access-log', tls: 'off' });
  });

  it.each(['epp', 'epp-single'])(
    'of %s listens where pickers do, and has outcomes from the stream',
    async (profile) => {
      const { config } = await load(`extProc: { profile: ${profile} }`);
      expect(config.grpc).toEqual({ kind: 'tcp', host: '127.0.0.1', port: 9_002 });
      expect(config.extProc).toMatchObject({ profile, outcomes: 'stream' });
    },
  );

  it('takes off for what it is where a YAML tool has written false', async () => {
    const { config } = await load('extProc: { profile: epp, tls: false }\nrewrites: { numCtx: false }');
    expect([config.extProc.tls, config.rewrites.numCtx]).toEqual(['off', 'off']);
    await expect(load('extProc: { profile: false }')).rejects.toThrow(/expected one of own, epp/);
  });

  it('says where gRPC listens and who tells outcomes, where it is asked to', async () => {
    const { config } = await load('grpc: 0.0.0.0:9999\nextProc: { profile: epp, outcomes: access-log }');
    expect(config.grpc).toMatchObject({ host: '0.0.0.0', port: 9_999 });
    expect(config.extProc.outcomes).toBe('access-log');
  });

  it('names certificate and key by absolute paths, and has them watched', async () => {
    const { config, files } = await load(
      'grpc: 127.0.0.1:9002\nextProc: { tls: files, tlsCert: a.pem, tlsKey: a.key }',
    );
    const [tlsCert, tlsKey] = [join(dir.path, 'a.pem'), join(dir.path, 'a.key')];
    expect(config.extProc).toMatchObject({ tls: 'files', tlsCert, tlsKey });
    expect(files).toEqual(expect.arrayContaining([tlsCert, tlsKey]));
  });

  it('comes from flags, those win over the environment, and that over the file', async () => {
    const { config } = await load('extProc: { profile: epp, minEndpoints: 2, health: ":1" }', {
      env: {
        ...env,
        WARMPATH_EXT_PROC_MIN_ENDPOINTS: '4',
        WARMPATH_EXT_PROC_HEALTH: ':2',
        WARMPATH_EXT_PROC_TEST_SELECTION: 'true',
        WARMPATH_EXT_PROC_OBJECTIVES: 'chat=interactive nightly=batch',
      },
      flags: { health: '127.0.0.1:3', grpcTls: 'self-signed' },
    });
    expect(config.extProc).toEqual({
      profile: 'epp',
      minEndpoints: 4,
      tls: 'self-signed',
      health: { host: '127.0.0.1', port: 3 },
      testSelection: true,
      outcomes: 'stream',
      objectives: { chat: 'interactive', nightly: 'batch' },
    });
    expect((await load('', { flags: { profile: 'epp-single' } })).config.extProc.profile).toBe('epp-single');
  });

  const tcp = 'grpc: 127.0.0.1:9002';
  it.each([
    ['profile: eppp', '1:21 extProc.profile: expected one of own, epp, epp-single, got "eppp"'],
    ['minEndpoints: 0', '1:26 extProc.minEndpoints: expected a whole number from 1 to 20, got 0'],
    [
      'profile: epp-single, minEndpoints: 2',
      '1:47 extProc.minEndpoints: must be 1 in the profile epp-single, which answers with one endpoint',
    ],
    ['tls: files', '2:17 extProc.tls: files needs "tlsCert" and "tlsKey"', tcp],
    ['tls: files, tlsCert: a.pem', '2:33 extProc.tlsCert: needs its private key in "tlsKey"', tcp],
    ['tls: files, tlsKey: a.key', '2:32 extProc.tlsKey: needs its certificate in "tlsCert"', tcp],
    ['tls: files, tlsCert: a.pem, tlsKey: none.key', '2:48 extProc.tlsKey: the file does not exist', tcp],
    [
      'tls: files, tlsCert: a.pem, tlsKey: b.key',
      '2:48 extProc.tlsKey: the key is not that of the certificate in "tlsCert"',
      tcp,
    ],
    [
      'tls: files, tlsCert: a.key, tlsKey: a.key',
      '2:33 extProc.tlsCert: the file holds no PEM certificate',
      tcp,
    ],
    ['tlsCert: a.pem', '2:21 extProc.tlsCert: means nothing with "tls: off"; set "tls: files"', tcp],
    [
      'tls: self-signed',
      '1:17 extProc.tls: means nothing on a Unix socket; set "grpc" to HOST:PORT, or "tls" to off',
    ],
    ['health: 127.0.0.1:9411', '1:20 extProc.health: 127.0.0.1:9411 is taken by "admin"'],
    ['profile: epp, health: 0.0.0.0:9002', '1:34 extProc.health: 0.0.0.0:9002 is taken by "grpc"'],
    ['objectives: { Chat: batch }', '1:26 extProc.objectives.Chat: is no name of an InferenceObjective'],
    [
      'objectives: { chat: urgent }',
      '1:32 extProc.objectives.chat: expected one of interactive, normal, batch, got "urgent"',
    ],
    ['minEndpoint: 2', '1:12 extProc.minEndpoint: unknown key; did you mean "minEndpoints"?'],
  ])('refuses { %s }', async (fields, want, before = '') => {
    const text = `${before}${before === '' ? '' : '\n'}extProc: { ${fields} }`;
    expect(await problemsOf(load(text))).toEqual([`w.yaml:${want}`]);
  });

  it('changes at once where nobody was told before, else at the next start', async () => {
    const before = (await load('extProc: { profile: epp }')).config;
    const after = (
      await load(
        'extProc: { profile: epp, minEndpoints: 3, objectives: { a: batch }, health: ":4", tls: self-signed }',
      )
    ).config;
    const diff = diffConfig(before, after, new Set());
    expect(diff.hot).toEqual(['extProc.minEndpoints', 'extProc.objectives']);
    expect([...diff.needsRestart].sort()).toEqual(['extProc.health', 'extProc.tls']);
    expect(diff.applied.extProc).toEqual({ ...before.extProc, minEndpoints: 3, objectives: { a: 'batch' } });
  });
});

describe('what the Envoy that Warmpath configures cannot work with', () => {
  it('is refused with its place and the remedy', async () => {
    const loaded = await load('extProc: { profile: epp }', { flags: { grpcTls: 'self-signed' } });
    expect(() => checkForOwnEnvoy(loaded, 'up')).toThrow(
      /w\.yaml:1:1 extProc\.profile: epp is for other gateways.*"warmpath serve"[\s\S]*--grpc-tls extProc\.tls: .*needs off/,
    );
    const { config, sources } = loaded;
    expect(() => checkForOwnEnvoy({ config, sources, files: [] }, 'envoy-config')).toThrow(/leave it out/);
  });

  it('is not there by default', async () => {
    const loaded = await load('');
    expect(() => checkForOwnEnvoy(loaded, 'up')).not.toThrow();
  });
});
