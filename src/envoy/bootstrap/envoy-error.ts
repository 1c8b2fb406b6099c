/** Envoy cannot be had or cannot start; the message says what to do about it and is fit to be shown as it is. */
export class EnvoyError extends Error {
  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = 'EnvoyError';
  }
}
