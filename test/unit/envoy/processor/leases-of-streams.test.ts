import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type {
  ProcessingRequest,
  ProcessingResponse,
} from '../../../../src/envoy/gen/envoy/service/ext_proc/v3/external_processor.ts';
import { watchAnswers } from '../../../../src/envoy/processor/answer-observer.ts';
import { ProcessorService } from '../../../../src/envoy/processor/service.ts';
import { last, NDJSON } from '../../../support/counted-answers.ts';
import { address, Workbench } from '../../app/workbench.ts';
import { resident } from '../../fleet/builders.ts';
import { MODEL } from '../../routing/builders.ts';
import { CountingTelemetry, Inbox, type Running, startServer, until } from '../grpc/harness.ts';
import { destinationOf, duplexHead, headersOf, wholeEcho } from './duplex.ts';
import { body, FakeReads, process } from './fakes.ts';
import { listValue, stringValue } from './wire.ts';

const WARM = [resident(MODEL)];
const CHAT = '{"model":"m","messages":[{"role":"user","content":"hi"}]}';

function header(key: string, value: string) {
  return { key, raw_value: Buffer.from(value) };
}

/** The router, its leases and what it learns, asked over gRPC as a gateway asks. */
describe('a request that a gateway sends', () => {
  let bench: Workbench;
  let running: Running;
  let service: ProcessorService;

  beforeEach(async () => {
    bench = new Workbench().withNodes({ n1: WARM, n2: [], n3: [] });
    const { router, clock, log, recorder } = bench;
    service = new ProcessorService(
      { router, reads: new FakeReads(), telemetry: new CountingTelemetry(), log, clock },
      { profile: 'epp', watchAnswer: watchAnswers({ recorder, clock, log, onProblem: () => undefined }) },
    );
    running = await startServer([service]);
  });
  afterEach(() => running.stop());

  async function sent(first: ProcessingRequest = duplexHead()) {
    const call = process(running.client(service.definition));
    const inbox = new Inbox<ProcessingResponse>(call);
    call.write(first);
    call.write(body(CHAT));
    return { call, inbox, reply: await inbox.next() };
  }

  const leases = () => bench.ledger.held().map(({ node }) => node);

  function hinted(addresses: readonly string[]): ProcessingRequest {
    const fields = { 'x-gateway-destination-endpoint-subset': listValue(addresses) };
    return { ...duplexHead(), metadata_context: { filter_metadata: { 'envoy.lb.subset_hint': { fields } } } };
  }

  it('has its lease on the node that answers, and none when its stream is over', async () => {
    const { call, inbox, reply } = await sent();
    const [first, second = ''] = String(destinationOf(reply)).split(',');
    expect(first).toBe(address(1));
    expect(leases()).toEqual(['n1']);
    await wholeEcho(inbox);
    const served = { fields: { 'x-gateway-destination-endpoint-served': stringValue(second) } };
    call.write({
      response_headers: {
        headers: { headers: [header(':status', '200'), header('content-type', NDJSON)] },
      },
      metadata_context: { filter_metadata: { 'envoy.lb': served } },
    });
    await inbox.next();
    await until(() => leases()[0] !== 'n1');
    expect(leases()).toEqual([bench.fleet.nodeAt(second)]);
    expect(bench.fleet.nodes.get('n1')?.health.lastFailure?.reason).toBe('unexplained');
    call.write({ response_body: { body: Buffer.from(last), end_of_stream: true } });
    await wholeEcho(inbox);
    call.end();
    await until(() => leases().length === 0);
    expect(bench.telemetry.attempts).toEqual(['n1 unexplained', expect.stringMatching(/^n[23] served$/)]);
    expect(bench.decisions.openCount).toBe(0);
  });

  it('has no lease once the client has hung up, whatever was heard of its answer', async () => {
    const { call } = await sent();
    expect(leases()).toEqual(['n1']);
    call.cancel();
    await until(() => leases().length === 0);
    await until(() => bench.decisions.openCount === 0);
    expect(bench.telemetry.attempts).toEqual([]);
  });

  it('goes only where the gateway allows it to go', async () => {
    const { reply, call } = await sent(hinted([address(3), '10.9.9.9:1']));
    expect(destinationOf(reply)).toBe(address(3));
    expect(leases()).toEqual(['n3']);
    call.cancel();
    await until(() => leases().length === 0);
  });

  it.each([
    { name: 'nothing', addresses: [] },
    { name: 'nothing that can be an endpoint', addresses: ['nobody', ''] },
    { name: 'no node of ours', addresses: ['10.9.9.9:1'] },
  ])('is answered 503 where the gateway allows $name, and takes no lease', async ({ addresses }) => {
    const { reply } = await sent(hinted(addresses));
    expect(reply.immediate_response?.status?.code).toBe(503);
    expect(headersOf(reply)).not.toHaveProperty('x-gateway-destination-endpoint');
    expect(leases()).toEqual([]);
  });
});
