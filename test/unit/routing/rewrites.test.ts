import { describe, expect, it } from 'vitest';
import { errorReply } from '../../../src/app/error-reply.ts';
import type { ModelFigures } from '../../../src/fleet/types.ts';
import { RouterError } from '../../../src/request/errors.ts';
import { parseModelName } from '../../../src/request/model-name.ts';
import { DEFAULT_REWRITES, type RewritePolicy } from '../../../src/routing/rewrite-policy.ts';
import { bodyEdits, checkPrivileges, REWRITE_KINDS } from '../../../src/routing/rewrites.ts';
import type { Caller } from '../../../src/waiting/types.ts';
import { MODEL, node, onDisk, request, resident, warmNode } from './builders.ts';

const anyone: Caller = { id: '10.0.0.9', class: 'normal', maxWaitMs: 30_000, isPrivileged: false };
const admin: Caller = { ...anyone, id: 'admin', isPrivileged: true };
const own = parseModelName('m');
const other = parseModelName('Qwen3:32b');
const policy = (fields: Partial<RewritePolicy> = {}): RewritePolicy => ({ ...DEFAULT_REWRITES, ...fields });
const figures = (defaultContext: number): ModelFigures => ({
  loadMs: undefined,
  promptRate: undefined,
  answerRates: [],
  answerTokens: undefined,
  bytesPerToken: undefined,
  heldMs: undefined,
  innerWaitMs: undefined,
  slots: undefined,
  defaultContext,
});
const v1 = { path: '/v1/chat/completions', family: 'openai' } as const;

describe('the name', () => {
  it('stays as the client wrote it where it is the model', () => {
    expect(bodyEdits(request(), own, warmNode('n1'), anyone, policy())).toEqual([]);
    expect(bodyEdits(request(), parseModelName('M:latest'), node('n1'), anyone, policy())).toEqual([]);
  });

  it('of an alias becomes that of the model, on every API', () => {
    const want = [{ field: 'model', to: 'Qwen3:32b', why: 'alias' }];
    for (const fields of [{}, v1, { path: '/v1/messages', family: 'anthropic' } as const])
      expect(bodyEdits(request(fields), other, node('n1'), anyone, policy())).toEqual(want);
    expect(bodyEdits(request({ operation: 'show' }), other, node('n1'), anyone, policy())).toEqual(want);
  });

  it('of a fallback that the request names is told apart', () => {
    expect(bodyEdits(request({ fallbackModels: [other] }), other, node('n1'), anyone, policy())).toEqual([
      { field: 'model', to: 'Qwen3:32b', why: 'fallback' },
    ]);
  });
});

describe('the context', () => {
  it('is pinned to that of the model that serves, on the node that serves', () => {
    const there = node('n1', {
      models: [onDisk(MODEL), onDisk('qwen3:32b')],
      warm: [resident('qwen3:32b', { contextLength: 8192 })],
    });
    expect(bodyEdits(request({ numCtx: 2048 }), other, there, anyone, policy())).toEqual([
      { field: 'model', to: 'Qwen3:32b', why: 'alias' },
      { field: 'num_ctx', to: 8192, why: 'context_pinned' },
    ]);
    expect(bodyEdits(request({ numCtx: 2048 }), own, there, anyone, policy())).toEqual([]);
  });

  it.each([
    { asked: 5000, fields: { numCtxBuckets: [8192] }, to: 8192, why: 'context_bucket' },
    { asked: 50_000, fields: { numCtxMax: 8192 }, to: 8192, why: 'context_capped' },
    { asked: 50_000, fields: { numCtxMax: 4096 }, to: 4096, why: 'context_pinned' },
  ])('$why', ({ asked, fields, to, why }) => {
    expect(bodyEdits(request({ numCtx: asked }), own, warmNode('n1'), anyone, policy(fields))).toEqual([
      { field: 'num_ctx', to, why },
    ]);
  });

  it('is that of the model as it was trained, where more is asked', () => {
    const there = node('n1', {
      models: [onDisk(MODEL, { capabilities: ['completion'], trainedContext: 4096 })],
      warm: [resident(MODEL)],
    });
    expect(bodyEdits(request({ numCtx: 1_000_000 }), own, there, anyone, policy())).toEqual([
      { field: 'num_ctx', to: 4096, why: 'context_pinned' },
    ]);
  });

  it('is added where the node would fall back to its default', () => {
    const there = node('n1', {
      warm: [resident(MODEL, { contextLength: 8192 })],
      figures: new Map([[MODEL, figures(4096)]]),
    });
    const want = [{ field: 'num_ctx', to: 8192, why: 'context_pinned' }];
    expect(bodyEdits(request(), own, there, anyone, policy())).toEqual(want);
    expect(bodyEdits(request(), own, { ...there, version: '0.34.0' }, anyone, policy())).toEqual([]);
    expect(bodyEdits(request(v1), own, there, anyone, policy())).toEqual([]);
  });

  it('passes where rewriting is off', () => {
    expect(
      bodyEdits(request({ numCtx: 2048 }), own, warmNode('n1'), anyone, policy({ numCtx: 'off' })),
    ).toEqual([]);
  });
});

describe('keep_alive', () => {
  const HOUR = 3_600;
  it.each([
    { name: 'none', keepAlive: undefined, want: [] },
    { name: 'in between', keepAlive: 300, want: [] },
    { name: 'below the floor', keepAlive: 30, want: [['keep_alive_raised', 60]] },
    { name: 'above the ceiling', keepAlive: 3 * HOUR, want: [['keep_alive_cut', 2 * HOUR]] },
    { name: 'for ever', keepAlive: -1, want: [['keep_alive_cut', 2 * HOUR]] },
    { name: 'an end at once', keepAlive: 0, unloads: true, want: [['unload_stopped', 60]] },
    { name: 'an end within a second', keepAlive: 0.5, unloads: true, want: [['unload_stopped', 60]] },
  ])('$name', ({ keepAlive, unloads = false, want }) => {
    const limits = policy({ keepAliveMin: 60, keepAliveMax: 2 * HOUR });
    const asked = request({ keepAlive, unloads });
    const edits = bodyEdits(asked, own, warmNode('n1'), anyone, limits);
    expect(edits).toEqual(want.map(([why, to]) => ({ field: 'keep_alive', to, why })));
    expect(bodyEdits(asked, own, warmNode('n1'), admin, limits)).toEqual([]);
  });

  it('is what Ollama usually does where an end at once meets no floor', () => {
    const asked = request({ keepAlive: 0, unloads: true });
    expect(bodyEdits(asked, own, warmNode('n1'), anyone, policy())).toEqual([
      { field: 'keep_alive', to: 300, why: 'unload_stopped' },
    ]);
    expect(bodyEdits(asked, own, warmNode('n1'), anyone, policy({ keepAliveMax: 120 }))).toMatchObject([
      { to: 120 },
    ]);
    expect(bodyEdits(asked, own, warmNode('n1'), anyone, policy({ unload: 'anyone' }))).toEqual([]);
  });

  it('is not touched on /v1, where Ollama does not read it', () => {
    const asked = request({ ...v1, keepAlive: 0, unloads: true });
    expect(bodyEdits(asked, own, warmNode('n1'), anyone, policy())).toEqual([]);
  });
});

describe('runner options (B35)', () => {
  const asked = request({ runnerOptions: ['num_gpu', 'use_mmap'] });

  it('pass by default', () => {
    expect(bodyEdits(asked, own, warmNode('n1'), anyone, policy())).toEqual([]);
    expect(() => checkPrivileges(asked, anyone, policy())).not.toThrow();
  });

  it('are taken out where the policy says so, but for the privileged', () => {
    const strip = policy({ runnerOptions: 'strip' });
    expect(bodyEdits(asked, own, warmNode('n1'), anyone, strip)).toEqual([
      { field: 'option', name: 'num_gpu', why: 'option_stripped' },
      { field: 'option', name: 'use_mmap', why: 'option_stripped' },
    ]);
    expect(bodyEdits(asked, own, warmNode('n1'), admin, strip)).toEqual([]);
  });

  it('are refused where the policy says so, but for the privileged', () => {
    const deny = policy({ runnerOptions: 'deny' });
    expect(() => checkPrivileges(asked, anyone, deny)).toThrow(/option "num_gpu" needs a privileged key/);
    expect(() => checkPrivileges(asked, admin, deny)).not.toThrow();
    expect(() => checkPrivileges(request(), anyone, deny)).not.toThrow();
  });
});

describe('unloading (B36)', () => {
  const unload = request({ isEmpty: true, keepAlive: 0, unloads: true });
  const refusal = (): RouterError => {
    try {
      checkPrivileges(unload, anyone, policy());
    } catch (error) {
      if (error instanceof RouterError) return error;
    }
    throw new Error('was allowed');
  };

  it('is for the privileged: 403 in the shape of the API, with what to do', () => {
    const { status, body } = errorReply(refusal(), 'ollama');
    expect(status).toBe(403);
    expect(JSON.parse(body)).toEqual({
      error:
        'unloading a model needs a privileged key (see "clients" and rewrites.unload in the configuration)',
    });
    expect(errorReply(refusal(), 'anthropic').body).toContain('permission_error');
  });

  it('is open to the privileged, and to anyone where the policy says so', () => {
    expect(() => checkPrivileges(unload, admin, policy())).not.toThrow();
    expect(() => checkPrivileges(unload, anyone, policy({ unload: 'anyone' }))).not.toThrow();
  });

  it('is not what a preload asks for, or an answer that is to be the last', () => {
    expect(() => checkPrivileges(request({ isEmpty: true }), anyone, policy())).not.toThrow();
    expect(() => checkPrivileges(request({ keepAlive: 0, unloads: true }), anyone, policy())).not.toThrow();
  });
});

it('names every kind of change once', () => {
  expect(new Set(REWRITE_KINDS).size).toBe(REWRITE_KINDS.length);
});
