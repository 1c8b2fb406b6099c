import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import * as z from 'zod';
import { type SimulatedFleet, startFleet } from '../sim/fleet.ts';
import { post, send } from '../support/http-client.ts';
import { prometheusServer, type RealPrometheus, startPrometheus } from '../support/prometheus.ts';
import { describeReal } from '../support/require-real.ts';
import { staticTool } from '../support/static-tools.ts';
import { waitFor } from '../support/wait-for.ts';
import { type RunningWarmpath, startWarmpath } from '../support/warmpath.ts';

const RULES = 'deploy/prometheus/warmpath.rules.yaml';
const RULE_TESTS = 'deploy/prometheus/tests/warmpath.rules.test.yaml';
const DASHBOARD = 'deploy/grafana/warmpath.json';
const run = promisify(execFile);

const rulesSchema = z.object({
  groups: z.array(
    z.object({
      rules: z.array(
        z.object({
          record: z.string().optional(),
          alert: z.string().optional(),
          expr: z.string(),
          annotations: z.object({ summary: z.string().min(10), description: z.string().min(20) }).optional(),
        }),
      ),
    }),
  ),
});
const dashboardSchema = z.object({
  uid: z.string(),
  panels: z.array(
    z.object({
      title: z.string(),
      type: z.string(),
      targets: z.array(z.object({ expr: z.string() })).optional(),
    }),
  ),
  templating: z.object({
    list: z.array(z.object({ definition: z.string().optional() })),
  }),
});

const { groups } = rulesSchema.parse(parse(readFileSync(RULES, 'utf8')));
const rules = groups.flatMap((group) => group.rules);
const dashboard = dashboardSchema.parse(JSON.parse(readFileSync(DASHBOARD, 'utf8')));
const panels = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ title, expr })),
);

/** As Grafana would fill it in. */
function filled(expr: string): string {
  return expr.replaceAll('$__rate_interval', '5m').replaceAll(/\$(job|instance|node)\b/g, '.*');
}

/** Names of metrics that an expression reads, without those that our own rules record. */
function metricsOf(expr: string): string[] {
  const names = expr.match(/(?<![A-Za-z0-9_:{"])(?:warmpath|process|nodejs)_[a-z0-9_]+/g) ?? [];
  return names.map((name) => name.replace(/_bucket$/, ''));
}

/** Panels that show nothing in a small healthy fleet without GPUs: failures, GPU reports, and what nobody did. */
const QUIET = new Set(['Failed attempts', 'Store', 'GPU utilisation', 'Refusals', 'Went round Warmpath']);
const QUIET_EXPR =
  /warmpath_rewrites_total|warmpath_reloads_avoided_total|warmpath_learnt_load_seconds|warmpath_waiting_seconds_bucket/;

describeReal(staticTool('promtool'), 'Prometheus rules', (path) => {
  it('are valid, and fire when they should and only then', async () => {
    await run(path, ['check', 'rules', RULES]);
    const { stdout } = await run(path, ['test', 'rules', RULE_TESTS]);
    expect(stdout).toContain('SUCCESS');
  });
});

describe('alerts', () => {
  it('each says what it means and what to do', () => {
    const alerts = rules.filter(({ alert }) => alert !== undefined);
    expect(alerts.length).toBeGreaterThan(10);
    for (const { alert, annotations } of alerts) expect(annotations, alert).toBeDefined();
  });

  it('each is tried by the rule tests', () => {
    const tests = readFileSync(RULE_TESTS, 'utf8');
    for (const { alert } of rules) if (alert !== undefined) expect(tests).toContain(alert);
  });
});

describeReal(prometheusServer, 'the dashboard and the rules on a real Prometheus', (path) => {
  let fleet: SimulatedFleet;
  let warmpath: RunningWarmpath;
  let prometheus: RealPrometheus;

  beforeAll(async () => {
    fleet = await startFleet(2, { models: [{ name: 'alpha', sizeBytes: 1e6 }], timeScale: 1e3 });
    warmpath = await startWarmpath({ nodes: fleet.specs });
    prometheus = await startPrometheus(path, {
      target: new URL(warmpath.adminUrl).host,
      ruleFiles: [`${process.cwd()}/${RULES}`],
    });
    await requests();
    await waitFor('two scrapes with requests', async () => {
      const [series] = await prometheus.query('sum(rate(warmpath_requests_total[5m])) > 0');
      if (series === undefined) await requests();
      return series !== undefined;
    });
  });
  afterAll(async () => {
    await prometheus?.stop();
    await warmpath?.stop();
    await fleet?.close();
  });

  async function requests(): Promise<void> {
    for (const prompt of ['a', 'b', 'c'])
      expect((await post(`${warmpath.url}/api/generate`, { model: 'alpha', prompt })).status).toBe(200);
  }

  it('read only metrics that Warmpath exports', async () => {
    const exported = (await send(`${warmpath.adminUrl}/metrics`)).text;
    const expressions = [...rules, ...panels].map(({ expr }) => expr);
    const names = new Set(expressions.flatMap(metricsOf));
    expect(names.size).toBeGreaterThan(30);
    for (const name of names) expect(exported, name).toContain(`# TYPE ${name} `);
  });

  it.each(panels)('$title: $expr', async ({ title, expr }) => {
    const series = await prometheus.query(filled(expr));
    if (!QUIET.has(title) && !QUIET_EXPR.test(expr)) expect(series.length).toBeGreaterThan(0);
  });

  it('no alert fires for a healthy fleet', async () => {
    await waitFor(
      'the rules to have run',
      async () => (await prometheus.query('warmpath:nodes_ready:count')).length > 0,
    );
    expect(await prometheus.query('ALERTS{alertstate="firing"}')).toEqual([]);
    expect((await prometheus.query('warmpath:nodes_ready:count'))[0]?.value[1]).toBe('2');
  });

  it('variables are labels that exist', async () => {
    for (const { definition } of dashboard.templating.list) {
      if (definition === undefined) continue;
      const [, selector = '', label = ''] = /^label_values\((.+), ([a-z]+)\)$/.exec(definition) ?? [];
      const series = await prometheus.query(filled(selector));
      expect(series[0]?.metric[label], definition).toBeTruthy();
    }
  });
});
