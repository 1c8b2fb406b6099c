import { describe, expect, it } from 'vitest';
import { searchControlPlanes } from '../../../src/cli/agent-search.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';

describe('a search for control planes', () => {
  it('goes on until one is found, whatever fails, and says so once', async () => {
    const clock = new FakeClock();
    const log = new MemoryLog();
    const answers = [new Error('port 5353 is taken'), [], ['not a url'], ['http://192.168.1.2:9412']];
    const find = async () => {
      const answer = answers.shift() ?? [];
      if (answer instanceof Error) throw answer;
      return answer;
    };
    const search = searchControlPlanes({ find, clock, log }, new AbortController().signal);
    await clock.advance(60_000);
    expect((await search).map(({ origin }) => origin)).toEqual(['http://192.168.1.2:9412']);
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'info']);
  });

  it('ends with the agent', async () => {
    const stop = new AbortController();
    const clock = new FakeClock();
    const search = searchControlPlanes({ find: async () => [], clock, log: new MemoryLog() }, stop.signal);
    await clock.advance(1_000);
    stop.abort();
    expect(await search).toEqual([]);
  });
});
