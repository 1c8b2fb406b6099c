import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { parseRecordedLine, type RecordedRequest } from '../../app/decision-record.ts';
import { ConfigError } from '../../config/problem.ts';
import { replayFleet } from '../../simulate/replay/replay-fleet.ts';
import { replayRequests } from '../../simulate/replay/replay-requests.ts';
import type { Scenario } from '../../simulate/types.ts';
import { MAX_REQUESTS } from '../../simulate/workload.ts';
import type { Workload } from '../../simulate/workload-types.ts';

const MAX_NAMED = 5;

/** A recording as a scenario: over the nodes and models of `fleet`, else over nodes that behave as the recorded ones did. */
export async function readReplay(
  path: string,
  fleet: Workload | undefined,
  limit: number | undefined,
): Promise<Scenario> {
  const label = basename(path);
  const records = await readRecords(path, label);
  const requests = replayRequests(records).slice(0, limit);
  if (requests.length === 0)
    throw new ConfigError(label, [
      'there is no request to replay in it; "decisions.record" in the configuration writes such files',
    ]);
  const { nodes, models } = fleet ?? replayFleet(records);
  if (nodes.length === 0)
    throw new ConfigError(label, [
      'no node answered any of its requests: name a workload file with the nodes to replay them on',
    ]);
  const known = new Set(models.map(({ key }) => key));
  const missing = [...new Set(requests.map(({ request }) => request.model.key))].filter(
    (key) => !known.has(key),
  );
  if (missing.length > 0 && fleet !== undefined) {
    const more = missing.length > MAX_NAMED ? ` and ${missing.length - MAX_NAMED} more` : '';
    throw new ConfigError(label, [
      `asks for models that ${fleet.name} lacks: ${missing.slice(0, MAX_NAMED).join(', ')}${more}`,
    ]);
  }
  const kept = requests
    .filter(({ request }) => known.has(request.model.key))
    .map((request, id) => ({ ...request, id }));
  return {
    name: label,
    about: 'Recorded requests.',
    nodes,
    models,
    requests: kept,
    events: fleet?.events ?? [],
  };
}

async function readRecords(path: string, label: string): Promise<RecordedRequest[]> {
  const records: RecordedRequest[] = [];
  const input = createReadStream(path, { encoding: 'utf8' });
  try {
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      const record = line === '' ? undefined : parseRecordedLine(line);
      if (record !== undefined) records.push(record);
      if (records.length > MAX_REQUESTS)
        throw new ConfigError(label, [`has more than ${MAX_REQUESTS} requests`]);
    }
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(label, [
      `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}`,
    ]);
  } finally {
    input.destroy();
  }
  return records;
}
