import type { ServerHttp2Session } from 'node:http2';

/** A peer that answers no ping within this time is gone. */
const PING_MS = 30_000;
const PONG_MS = 10_000;

/** A peer whose machine vanished says nothing, ever: its connection and streams end here. The function returned stops it. */
export function keepAlive(session: ServerHttp2Session): () => void {
  let late: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (session.destroyed) return;
    late ??= setTimeout(() => session.destroy(), PONG_MS).unref();
    session.ping(() => {
      clearTimeout(late);
      late = undefined;
    });
  }, PING_MS).unref();
  return () => {
    clearInterval(timer);
    clearTimeout(late);
  };
}
