import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Alarms } from '../../../src/app/alarms.ts';
import type { Config } from '../../../src/config/config.ts';
import { loadConfig } from '../../../src/config/load.ts';
import { watchReloads } from '../../../src/control-plane/reload.ts';
import { FakeClock } from '../../support/fake-clock.ts';
import { MemoryLog } from '../../support/memory-log.ts';
import { RecordingTelemetry } from '../../support/recording-telemetry.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { waitFor } from '../../support/wait-for.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function reloading(text: string) {
  const dir = tempDir();
  cleanups.push(() => dir.remove());
  const file = join(dir.path, 'warmpath.yaml');
  writeFileSync(file, text);
  const source = { file, env: { HOME: '/home/me' }, localIps: [] };
  const log = new MemoryLog();
  const alarms = new Alarms(new FakeClock(), log);
  const metrics = new RecordingTelemetry();
  const applied: Config[] = [];
  const levels: string[] = [];
  let hangUp = (): void => {};
  const close = watchReloads({
    plane: { alarms, metrics, apply: (config) => applied.push(config) },
    source,
    loaded: await loadConfig(source),
    log,
    setLogLevel: (level) => levels.push(level),
    onHangup: (listener) => {
      hangUp = listener;
    },
  });
  cleanups.push(close);
  /** Writes, sends SIGHUP, and waits for the result. */
  const change = async (next: string) => {
    const count = metrics.reloads.length;
    writeFileSync(file, next);
    hangUp();
    await waitFor('the reload', () => metrics.reloads.length > count);
  };
  return { change, applied, levels, alarms, metrics, log };
}

const ONE = 'nodes: [ { name: a, url: http://10.0.0.1 } ]\n';

describe('a reload', () => {
  it('takes nodes and log level over, and says what has changed', async () => {
    const { change, applied, levels, metrics, log } = await reloading(ONE);
    await change('nodes: [ { name: b, url: http://10.0.0.2 } ]\nlog: { level: debug }\n');
    expect(applied.map(({ nodes }) => nodes.map(({ id }) => id))).toEqual([['b']]);
    expect(levels).toEqual(['debug']);
    expect(metrics.reloads).toEqual(['applied']);
    expect(log.lines).toMatchObject([
      { level: 'info', message: 'configuration reloaded', fields: { added: ['b'], removed: ['a'] } },
    ]);
  });

  it('of a bad file keeps the old configuration with an alarm, until the file is mended', async () => {
    const { change, applied, alarms, metrics } = await reloading(ONE);
    await change('nodes: 7\n');
    expect(applied).toEqual([]);
    expect(alarms.list()).toMatchObject([{ code: 'config_rejected' }]);
    expect(alarms.list()[0]?.message).toContain('the configuration was not reloaded, the old one stays:');
    await change(ONE);
    expect(alarms.list()).toEqual([]);
    expect(metrics.reloads).toEqual(['rejected', 'unchanged']);
  });

  it('names the settings that wait for the next start', async () => {
    const { change, log } = await reloading(ONE);
    await change(`${ONE}listen: 0.0.0.0:9999\n`);
    expect(log.lines.find(({ level }) => level === 'warn')).toMatchObject({
      message: 'these settings take effect at the next start',
      fields: { settings: expect.arrayContaining([expect.stringContaining('listen')]) },
    });
  });
});
