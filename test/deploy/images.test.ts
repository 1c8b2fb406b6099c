import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { PINNED_ENVOY } from '../../src/envoy/bootstrap/version.ts';
import nodeFlags from '../../src/supervisor/node-flags.json' with { type: 'json' };
import { QUICK } from '../e2e/faults/arena.ts';
import { startFleet } from '../sim/fleet.ts';
import { plainEnvoy, realEnvoy } from '../support/envoy.ts';
import { freePort } from '../support/free-port.ts';
import { post, send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { staticTool } from '../support/static-tools.ts';
import { waitFor } from '../support/wait-for.ts';
import { readDockerfile, type Stage } from './dockerfile.ts';
import { ImageOnDisk } from './image-on-disk.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const DOCKER = join(ROOT, 'deploy/docker');
const COMPOSE = join(ROOT, 'deploy/compose/docker-compose.yaml');
const IMAGES = { 'control-plane.Dockerfile': ROOT, 'envoy.Dockerfile': DOCKER };
const last = (file: string): Stage => {
  const stage = readDockerfile(join(DOCKER, file)).at(-1);
  if (stage === undefined) throw new Error(`${file} has no stage`);
  return stage;
};

const serviceSchema = z.looseObject({
  image: z.string(),
  command: z.array(z.string()).default([]),
  entrypoint: z.array(z.string()).optional(),
  volumes: z.array(z.string()).default([]),
  profiles: z.array(z.string()).optional(),
});
const composeSchema = z.looseObject({ services: z.record(z.string(), serviceSchema) });
const compose = composeSchema.parse(parse(readFileSync(COMPOSE, 'utf8'), { merge: true }));
const service = (name: string): z.infer<typeof serviceSchema> => serviceSchema.parse(compose.services[name]);

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

describeReal(staticTool('hadolint'), 'Dockerfiles', (hadolint) => {
  it.for(Object.entries(IMAGES))('%s: hadolint, pinned bases, a user without rights', ([file]) => {
    expect(execFileSync(hadolint, [join(DOCKER, file)], { encoding: 'utf8' })).toBe('');
    const stages = readDockerfile(join(DOCKER, file));
    const bases = ['node:24-slim', `envoyproxy/envoy:v${PINNED_ENVOY}`];
    for (const { base } of stages) expect(bases).toContain(base);
    expect(stages.at(-1)?.user).toBe('10001:10001');
  });

  it('the control plane gets the heap that it has under `up`', () => {
    const { entrypoint } = last('control-plane.Dockerfile');
    expect(entrypoint).toEqual(['node', ...nodeFlags, '/app/bin/warmpath.js']);
  });

  it.for(Object.entries(IMAGES))(
    '%s copies what is there and what the build context has',
    ([file, context]) => {
      const stages = readDockerfile(join(DOCKER, file));
      const ignore =
        context === ROOT ? readFileSync(join(ROOT, '.dockerignore'), 'utf8').split('\n') : undefined;
      const isSent = (source: string): boolean =>
        ignore?.some((line) => line === `!${source}`) ?? ignore === undefined;
      const names = stages.flatMap(({ name }) => name ?? []);
      for (const { from, sources } of stages.flatMap(({ copies }) => copies)) {
        if (from !== undefined) expect(names).toContain(from);
        else
          for (const source of sources)
            expect([source, isSent(source), existsSync(join(context, source))]).toEqual([source, true, true]);
      }
    },
  );
});

describeReal(staticTool('check-jsonschema'), 'docker-compose.yaml', (checker) => {
  it('fits the schema of Compose', () => {
    const args = ['--builtin-schema', 'vendor.compose-spec', COMPOSE];
    expect(execFileSync(checker, args, { encoding: 'utf8' })).toContain('ok');
  });
});

describe('docker-compose.yaml', () => {
  it('names versions, and folders that are there', () => {
    for (const { image, volumes } of Object.values(compose.services)) {
      expect(image).toMatch(/:v?\d[\w.-]*$/);
      for (const volume of volumes.filter((each) => each.startsWith('.')))
        expect(existsSync(resolve(COMPOSE, '..', volume.split(':')[0] ?? ''))).toBe(true);
    }
  });

  it('runs what is not optional without rights, on a read-only system', () => {
    const always = Object.entries(compose.services).filter(([, { profiles }]) => profiles === undefined);
    expect(always.map(([name]) => name)).toEqual(['envoy-config', 'warmpath', 'envoy']);
    for (const [, each] of always)
      expect(each).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
      });
  });
});

describeReal(await realEnvoy(), 'the images’ files, started as docker-compose.yaml does', (envoyPath) => {
  it('serve, write nowhere but to the state directory, and end when running answers have', async () => {
    const stage = last('control-plane.Dockerfile');
    const image = new ImageOnDisk(stage);
    cleanups.push(() => image.close());
    image.add('envoy', plainEnvoy(envoyPath));
    image.add('warmpath-envoy', join(DOCKER, 'envoy-entry.sh'));
    image.addConfig(join(ROOT, 'deploy/compose/config'));
    const fleet = await startFleet(1, { ...QUICK, tokensPerSecond: 20 });
    cleanups.push(() => fleet.close());
    const [clients, admin, envoyAdmin] = [await freePort(), await freePort(), await freePort()];
    const env = {
      ...stage.env,
      WARMPATH_NODES: fleet.specs.map(({ name, url }) => `${name}=${url}`).join(' '),
      WARMPATH_LISTEN: `127.0.0.1:${clients}`,
      WARMPATH_ADMIN: `127.0.0.1:${admin}`,
      WARMPATH_REDIS: '',
    };

    const { entrypoint = [], command } = service('envoy-config');
    const rendered = image.run([...entrypoint, ...command], env);
    expect(await rendered.exited, rendered.output).toEqual({ code: 0, signal: null });
    const plane = image.run([...stage.entrypoint, ...service('warmpath').command], env);
    const entry = last('envoy.Dockerfile');
    const envoy = image.run([...entry.entrypoint, ...entry.cmd, '--concurrency', '1'], {
      WARMPATH_ENVOY_ADMIN_PORT: String(envoyAdmin),
      WARMPATH_DRAIN_SECONDS: '20',
    });
    const url = `http://127.0.0.1:${clients}`;
    const ask = (tokens: number) =>
      post(`${url}/api/generate`, {
        model: 'alpha:latest',
        prompt: 'Hello',
        options: { num_predict: tokens },
      });
    await waitFor(
      'a routed request',
      async () => (await ask(1)).headers['x-warmpath-decision'] !== undefined,
      {
        timeoutMs: 20_000,
        gaveUp: () => (plane.isRunning && envoy.isRunning ? undefined : `${plane.output}${envoy.output}`),
      },
    );
    expect((await send(`http://127.0.0.1:${admin}/readyz`)).status).toBe(200);
    expect(plane.output).not.toMatch(/EACCES|EROFS|ENOENT/);
    expect(readdirSync(image.state)).toEqual(expect.arrayContaining(['envoy.yaml', 'grpc.sock', 'nodes']));

    const running = ask(40);
    await waitFor('the request to run', () => fleet.inference.some(({ endedAt }) => endedAt === undefined));
    envoy.kill('SIGTERM');
    const answer = await running;
    expect(answer).toMatchObject({ status: 200, isComplete: true });
    expect(answer.lines().at(-1)).toMatchObject({ done: true });
    expect(await envoy.exited, envoy.output).toEqual({ code: 0, signal: null });
    expect(envoy.output).toContain('draining: 1 requests run');
    expect((await plane.stop()).code).toBe(0);
  }, 120_000);
});
