import { type ErrorCode, RouterError } from '../../../src/request/errors.ts';

/** The answer of `read`, or the code it refuses with. Any other error is a failure of the test. */
export function outcome<T>(read: () => T): T | ErrorCode {
  try {
    return read();
  } catch (error) {
    if (error instanceof RouterError && error.code !== 'internal') return error.code;
    throw error;
  }
}
