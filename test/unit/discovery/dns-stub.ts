import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { type Answer, decode, encode } from 'dns-packet';

/** What the stub answers: records, or a response code, or nothing at all. */
export type Script = readonly Answer[] | { readonly rcode: number } | 'silent' | 'garbage';

export interface DnsStub {
  /** `ip:port`, as resolvers take it. */
  readonly address: string;
  script: Script;
  readonly asked: string[];
  close(): Promise<void>;
}

/** A name server on loopback that says what the test tells it to. */
export async function dnsStub(script: Script = []): Promise<DnsStub> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  const stub: DnsStub = {
    address: `127.0.0.1:${socket.address().port}`,
    script,
    asked: [],
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
  socket.on('message', (message, { port, address }) => {
    const { id, questions = [] } = decode(message);
    stub.asked.push(questions.map(({ name, type }) => `${type} ${name}`).join());
    const say = stub.script;
    if (say === 'silent') return;
    if (say === 'garbage') {
      socket.send(Buffer.from('not a packet'), port, address);
      return;
    }
    const isFailure = 'rcode' in say;
    socket.send(
      encode({
        type: 'response',
        id: id ?? 0,
        flags: 0x0180 | (isFailure ? say.rcode : 0),
        questions,
        answers: isFailure ? [] : [...say],
      }),
      port,
      address,
    );
  });
  return stub;
}
