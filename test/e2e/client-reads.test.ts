import { afterAll, beforeAll, expect, it } from 'vitest';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { realEnvoy } from '../support/envoy.ts';
import { send } from '../support/http-client.ts';
import { describeReal } from '../support/require-real.ts';
import { waitFor } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';
import { curl, realCurl } from './client/curl.ts';

const GB = 1e9;
const SLASHED = 'hf.co/org/Repo-GGUF:Q4_K_M';
const NAMESPACED = 'team/tuned:1b';
const OWN_MODELS = [['only-one', NAMESPACED], ['only-two', SLASHED], ['only-three:8b']];

interface Tags {
  readonly models: readonly {
    readonly name: string;
    readonly model: string;
    readonly digest: string;
    readonly size: number;
  }[];
}

describeReal(await realEnvoy(), 'reads, as a client sees them', () => {
  describeReal(realCurl, 'with curl', () => {
    let fleet: SimulatedFleet;
    let warmpath: RunningWarmpath;

    beforeAll(async () => {
      fleet = await startFleet(3, { models: [], timeScale: 100 }, (index) => ({
        models: ['shared', ...(OWN_MODELS[index] ?? [])].map((name) => ({ name, sizeBytes: GB })),
        version: `0.2${4 - index}.0`,
      }));
      warmpath = await startWarmpath({ nodes: fleet.specs, config: { poll: { tagsInterval: '500ms' } } });
      await fleet.node('n1').load('shared');
      await fleet.node('n2').load('shared');
      await fleet.node('n3').load('only-three:8b');
      await waitFor('the models in memory', async () => {
        const { models } = (await get('/api/ps')).json() as Tags;
        return models.length === 2;
      });
    });
    afterAll(async () => {
      await warmpath?.stop();
      await fleet?.close();
    });

    const get = (path: string, ...args: string[]) => curl([...args, `${warmpath.url}${path}`]);

    it.each(['/', '/api/version', '/api/tags', '/api/ps', '/v1/models', '/v1/models/shared'])(
      'H08: GET and HEAD %s agree but for the body',
      async (path) => {
        const [got, head] = [await get(path), await get(path, '-I')];
        expect([got.status, head.status]).toEqual([200, 200]);
        expect(head.body.length).toBe(0);
        expect(head.headers.get('content-length')).toBe(String(got.body.length));
        expect(head.headers.get('content-type')).toBe(got.headers.get('content-type'));
        const real = await send(`${fleet.node('n1').url}${path}`);
        expect(got.headers.get('content-type')).toBe(real.headers['content-type']);
      },
    );

    it('says that Ollama is running', async () => {
      expect((await get('/')).text).toBe('Ollama is running');
    });

    it('has the version of the oldest node', async () => {
      expect((await get('/api/version')).json()).toEqual({ version: '0.22.0' });
    });

    it('lists each model of the fleet once, as its node does', async () => {
      const { models } = (await get('/api/tags')).json() as Tags;
      const names = ['only-one:latest', 'only-three:8b', 'only-two:latest', 'shared:latest'];
      expect(models.map(({ name }) => name).sort()).toEqual(
        [SLASHED.toLowerCase(), ...names, NAMESPACED].sort(),
      );
      for (const node of fleet.nodes) {
        const own = (await send(`${node.url}/api/tags`)).json() as Tags;
        for (const { modified_at: _, ...model } of own.models as (Tags['models'][number] & {
          modified_at: string;
        })[]) {
          expect(models).toContainEqual({ ...model, modified_at: expect.any(String) });
        }
      }
    });

    it('lists each model in memory once', async () => {
      const { models } = (await get('/api/ps')).json() as Tags;
      expect(models.map(({ name }) => name).sort()).toEqual(['only-three:8b', 'shared:latest']);
      const own = (await send(`${fleet.node('n3').url}/api/ps`)).json() as Tags;
      expect(Object.keys(models[0] ?? {})).toEqual(Object.keys(own.models[0] ?? {}));
      expect(models).toContainEqual({ ...own.models[0], expires_at: expect.stringMatching(/^20\d\d-/) });
    });

    it('lists models in the shape of OpenAI', async () => {
      const list = (await get('/v1/models')).json() as { object: string; data: { id: string }[] };
      expect(list.object).toBe('list');
      expect(list.data).toHaveLength(6);
      expect(list.data).toContainEqual({
        id: NAMESPACED,
        object: 'model',
        created: expect.any(Number),
        owned_by: 'team',
      });
    });

    it.each([
      { id: 'shared', owner: 'library' },
      { id: 'shared:latest', owner: 'library' },
      { id: 'SHARED', owner: 'library' },
      { id: 'only-three:8b', owner: 'library' },
      { id: 'only-three%3A8b', owner: 'library' },
      { id: NAMESPACED, owner: 'team' },
      { id: encodeURIComponent(NAMESPACED), owner: 'team' },
      { id: SLASHED, owner: expect.any(String) },
      { id: encodeURIComponent(SLASHED), owner: expect.any(String) },
    ])('M08: GET /v1/models/$id is one model', async ({ id, owner }) => {
      const answer = await get(`/v1/models/${id}`);
      expect(answer.status, answer.text).toBe(200);
      expect(answer.json()).toEqual({
        id: decodeURIComponent(id),
        object: 'model',
        created: expect.any(Number),
        owned_by: owner,
      });
    });

    it.each([
      { id: 'nope', status: 404, message: "model 'nope' not found" },
      { id: 'team%2Fnope', status: 404, message: "model 'team/nope' not found" },
      { id: '__proto__', status: 404, message: "model '__proto__' not found" },
      { id: '%3Cimg%3E', status: 400, message: 'invalid model name' },
      { id: '%252e%252e', status: 400, message: 'invalid model name' },
      { id: '%ff', status: 400, message: 'invalid model name' },
    ])('M08: GET /v1/models/$id is none', async ({ id, status, message }) => {
      const answer = await get(`/v1/models/${id}`);
      expect(answer.status).toBe(status);
      expect(answer.json()).toMatchObject({ error: { message, param: null } });
    });

    it('H08: tells no address of a node, in no body and no header', async () => {
      const paths = ['/', '/api/version', '/api/tags', '/api/ps', '/v1/models', '/v1/models/shared'];
      for (const path of [...paths, '/v1/models/nope', '/nothing']) {
        const { headers, text } = await get(path);
        const all = `${[...headers].flat().join('\n')}\n${text}`;
        for (const { port, name } of fleet.nodes) {
          expect(all).not.toContain(String(port));
          expect(all).not.toMatch(new RegExp(`\\b${name}\\b`));
        }
        expect(all).not.toContain('127.0.0.1');
      }
    });

    it('asks no node: what is answered comes from the state of the fleet', async () => {
      fleet.clearRequests();
      for (let i = 0; i < 20; i++) await get('/v1/models');
      expect(
        fleet.nodes.flatMap((node) => node.requests).filter(({ path }) => path === '/v1/models'),
      ).toEqual([]);
    });

    it('follows the fleet: a pulled model is there, a deleted one gone', async () => {
      const names = async () => ((await get('/api/tags')).json() as Tags).models.map(({ name }) => name);
      fleet.node('n1').addModel({ name: 'pulled', sizeBytes: GB });
      await expect.poll(names, { timeout: 5000 }).toContain('pulled:latest');
      fleet.node('n1').removeModel('pulled');
      await expect.poll(names, { timeout: 5000 }).not.toContain('pulled:latest');
    });

    it('goes on with the other nodes when one dies, and in the end with what was known', async () => {
      fleet.node('n3').kill();
      await expect
        .poll(async () => (await warmpath.status()).nodes.find(({ name }) => name === 'n3')?.status, {
          timeout: 10_000,
        })
        .toBe('down');
      expect((await get('/api/tags')).status).toBe(200);
      expect((await get('/v1/models/shared')).status).toBe(200);
      expect((await get('/api/version')).json()).toEqual({ version: '0.23.0' });
    });
  });
});
