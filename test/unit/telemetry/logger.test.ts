import { expect, it } from 'vitest';
import { createLogger, type LoggerOptions } from '../../../src/telemetry/logger.ts';

function aLogger(options: Partial<LoggerOptions> = {}) {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line), flushSync: () => {}, dropped: () => 0 };
  const { logger } = createLogger({ level: 'debug', format: 'json', color: false, destination, ...options });
  return { logger, lines, last: () => JSON.parse(lines.at(-1) ?? 'null') as Record<string, unknown> };
}

const HOSTILE = 'gpu\u001b[31m\u009b2J\r\nlevel=fatal \u202e forged';
const SHOWN = 'gpu\\u001b[31m\\u009b2J\\u000d\\u000alevel=fatal \\u202e forged';

it('writes one JSON object a line, with time, level and fields', () => {
  const { logger, last } = aLogger({ base: { replica: 'r1' } });
  logger.info({ node: 'gpu1' }, 'node is ready');
  expect(last()).toEqual({
    level: 'info',
    time: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
    replica: 'r1',
    node: 'gpu1',
    msg: 'node is ready',
  });
});

it('keeps quiet below its level', () => {
  const { logger, lines } = aLogger({ level: 'info' });
  logger.debug({}, 'no');
  expect(lines).toEqual([]);
  expect(logger.isLevelEnabled('debug')).toBe(false);
});

it('S15: shows control characters of others instead of sending them, in JSON', () => {
  const { logger, lines, last } = aLogger();
  logger.info({ node: HOSTILE, deep: { list: [HOSTILE] }, [HOSTILE]: 1 }, HOSTILE);
  expect(last()).toMatchObject({ node: SHOWN, deep: { list: [SHOWN] }, [SHOWN]: 1, msg: SHOWN });
  expect(lines).toHaveLength(1);
});

it('S15: and on a terminal, where a line stays one line', () => {
  const { logger, lines } = aLogger({ format: 'pretty' });
  logger.info({ node: HOSTILE }, HOSTILE);
  logger.warn('%s is odd', HOSTILE);
  expect(lines).toHaveLength(2);
  for (const line of lines) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what must not be there
    expect(line.slice(0, -1)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
    expect(line).toContain('gpu\\u001b[31m');
  }
});

it('S15: an error keeps the lines of its stack and nothing else of that kind', () => {
  const { logger, last } = aLogger();
  logger.error({ err: new Error(HOSTILE, { cause: new Error('the cause') }) }, 'failed');
  const { err } = last() as {
    err: { type: string; message: string; stack: string; cause: { message: string } };
  };
  expect(err.type).toBe('Error');
  expect(err.message).toBe(SHOWN);
  expect(err.stack).toMatch(/\n {4}at /);
  expect(err.stack).not.toContain('\u001b');
  expect(err.cause.message).toBe('the cause');
  logger.error(new Error(HOSTILE));
  expect(last().msg).toBe(SHOWN);
});

it('S16: writes no secrets and no words of clients, at any depth', () => {
  const { logger, lines } = aLogger();
  const canary = 'canary-5f1d';
  logger.info(
    {
      token: canary,
      spec: { nodes: [{ token: canary }] },
      request: { headers: { Authorization: canary, cookie: canary, 'X-Api-Key': canary } },
      body: { prompt: canary },
      messages: [{ content: canary }],
      raw: Buffer.from(canary),
      url: `http://user:${canary}@gpu1:11434/`,
      note: `sent Authorization: Bearer ${canary}`,
      err: new Error(`401 for Bearer ${canary}`),
    },
    `Basic ${canary}`,
  );
  expect(lines.join('')).not.toContain(canary);
  expect(lines.join('')).toContain('gpu1:11434');
});

it('bounds what one field can take, and survives what cannot be written', () => {
  const { logger, last, lines } = aLogger();
  const circle: Record<string, unknown> = { name: 'circle' };
  circle.self = circle;
  logger.info(
    { long: 'x'.repeat(1e6), circle, big: 10n, when: new Date(Number.NaN), map: new Map([['a', 1]]) },
    'odd',
  );
  expect(lines.at(-1)?.length).toBeLessThan(6000);
  expect(last()).toMatchObject({
    circle: { name: 'circle', self: '[circular]' },
    big: '10',
    when: null,
    map: { a: 1 },
  });
});
