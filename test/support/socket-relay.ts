import type { Socket } from 'node:net';

const MAX_LINE_BYTES = 200;

/** A connection's first line, and what came after it. Rejects where the connection ends before. */
export function firstLine(socket: Socket): Promise<{ readonly line: string; readonly rest: Buffer }> {
  return new Promise((resolve, reject) => {
    let received = Buffer.alloc(0);
    const give = (): void => reject(new Error(`no line, only ${JSON.stringify(received.toString())}`));
    const take = (bytes: Buffer): void => {
      received = Buffer.concat([received, bytes]);
      const end = received.indexOf(10);
      if (end < 0 && received.length < MAX_LINE_BYTES) return;
      socket.off('data', take).off('error', give).off('close', give).pause();
      if (end < 0) give();
      else resolve({ line: received.subarray(0, end).toString(), rest: received.subarray(end + 1) });
    };
    socket.on('data', take).once('error', give).once('close', give);
  });
}

/** What one receives the other sends; when one is gone, so is the other. `first` goes to `to` before all else. */
export function joinSockets(from: Socket, to: Socket, first: Buffer = Buffer.alloc(0)): void {
  if (first.length > 0) to.write(first);
  for (const [one, other] of [
    [from, to],
    [to, from],
  ] as const) {
    one.pipe(other);
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
}
