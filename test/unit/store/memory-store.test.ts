import { chmodSync, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StoreMessage } from '../../../src/store/contract.ts';
import { createStore } from '../../../src/store/create.ts';
import { MemoryStore } from '../../../src/store/memory.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { STORE_CONFIG } from '../../support/redis-store.ts';
import { type TempDir, tempDir } from '../../support/temp-dir.ts';

let dir: TempDir;
beforeEach(() => {
  dir = tempDir();
});
afterEach(() => dir.remove());

describe('documents of a single process', () => {
  function open() {
    const log = new MemoryLog();
    const clock = new FakeClock();
    const store = createStore(
      { ...STORE_CONFIG, kind: 'memory' },
      { clock, random: () => 0.5, log, stateDir: join(dir.path, 'state') },
    );
    return { store, log };
  }
  const file = () => join(dir.path, 'state', 'documents.json');

  it('survive it, in a file that only its user can read', async () => {
    const { store } = open();
    expect(store.isShared).toBe(false);
    await store.putDocument('drains', 'n1', { note: 'new fan' });
    await store.putDocument('registry', '__proto__', ['odd']);
    await store.putDocument('learnt', 'x', 1);
    await store.deleteDocument('learnt', 'x');
    const { store: later, log } = open();
    expect(await later.documents('drains')).toEqual(new Map([['n1', { note: 'new fan' }]]));
    expect([...(await later.documents('registry'))]).toEqual([['__proto__', ['odd']]]);
    expect(await later.documents('learnt')).toEqual(new Map());
    expect(statSync(file()).mode & 0o777).toBe(0o600);
    expect(log.lines).toEqual([]);
  });

  it('are all there after many writes at once', async () => {
    const { store } = open();
    await Promise.all(Array.from({ length: 100 }, (_, i) => store.putDocument('learnt', `${i}`, i)));
    expect((await open().store.documents('learnt')).size).toBe(100);
    expect(existsSync(`${file()}.new`)).toBe(false);
  });

  it.each(['', '{"version":1,"drains":', '[]', '{"version":2}', '{"version":1,"drains":{}}'])(
    'start empty where the file says %j, which is set aside and told of once',
    async (text) => {
      await open().store.putDocument('drains', 'n1', 1);
      writeFileSync(file(), text);
      const { store, log } = open();
      expect(await store.documents('drains')).toEqual(new Map());
      expect(log.messages('warn')).toEqual([expect.stringContaining(`${file()}.unusable`)]);
      expect(readFileSync(`${file()}.unusable`, 'utf8')).toBe(text);
      await store.putDocument('drains', 'n2', 2);
      expect(await open().store.documents('drains')).toEqual(new Map([['n2', 2]]));
    },
  );

  it('hold until the process ends where the file cannot be written, and the error says so', async () => {
    writeFileSync(join(dir.path, 'state'), 'a file where the folder should be');
    const { store } = open();
    await expect(store.putDocument('drains', 'n1', 1)).rejects.toMatchObject({
      reason: 'refused',
      message: expect.stringMatching(
        /^cannot write .*documents.json \((ENOTDIR|EEXIST)\): the change holds until/,
      ),
    });
    expect(await store.documents('drains')).toEqual(new Map([['n1', 1]]));
  });

  it('are all written once the disk works again', async () => {
    writeFileSync(join(dir.path, 'state'), '');
    const { store } = open();
    await expect(store.putDocument('drains', 'n1', 1)).rejects.toThrow();
    rmSync(join(dir.path, 'state'));
    await store.putDocument('drains', 'n2', 2);
    const drains = await open().store.documents('drains');
    expect([...drains.keys()]).toEqual(['n1', 'n2']);
  });

  it('are closed to other users again with the next write', async () => {
    const { store } = open();
    await store.putDocument('drains', 'n1', 1);
    chmodSync(file(), 0o644);
    await store.putDocument('drains', 'n1', 2);
    expect(statSync(file()).mode & 0o777).toBe(0o600);
  });
});

describe('replicas of one process', () => {
  it('hear messages after the call that sends them has ended, each a copy of its own', async () => {
    const store = new MemoryStore(new FakeClock(), { isShared: true });
    const heard: StoreMessage[] = [];
    store.subscribe('b', (message) => heard.push(message));
    store.subscribe('c', (message) => heard.push(message));
    const body = { n: 1 };
    const sent = store.publish({ from: 'a', to: undefined, topic: 'outcomes', body });
    expect(heard).toEqual([]);
    await sent;
    body.n = 2;
    expect(heard.map((message) => message.body)).toEqual([{ n: 1 }, { n: 1 }]);
    expect(heard[0]?.body).not.toBe(heard[1]?.body);
  });

  it('leave nothing behind that grows: what has expired is dropped', async () => {
    const clock = new FakeClock();
    const store = new MemoryStore(clock);
    for (let i = 0; i < 100; i++) await store.claimOnce(`nonce-${i}`, 1_000);
    await clock.advance(120_000);
    await store.claimOnce('last', 1_000);
    expect(await store.claimOnce('nonce-1', 1_000)).toBe(true);
    expect(clock.pending).toBe(0);
  });
});
