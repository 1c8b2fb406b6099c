/** Fastify's own refusals (a malformed URL, a body where none belongs) carry a status below 500; undefined for others. */
export function clientErrorOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('statusCode' in error)) return undefined;
  const { statusCode } = error;
  return typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500 ? statusCode : undefined;
}
