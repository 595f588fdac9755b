import { ColdsnapError } from '../../errors.ts';
import { readFailure } from '../failure.ts';
import { describeNetworkCode } from '../network-words.ts';

/**
 * Describes a failure to reach a credential service, which may not occur the next time.
 * @returns undefined for a reply of the service
 */
export function describeUnreachable(thrown: unknown): string | undefined {
  // A proxy's failure has its own words.
  if (thrown instanceof ColdsnapError) return thrown.message;
  const { name, code, httpStatus } = readFailure(thrown);
  if (httpStatus !== undefined) {
    if (httpStatus >= 500) return `it failed (HTTP ${httpStatus})`;
    return name === 'SyntaxError' ? `the reply is not from the service (HTTP ${httpStatus})` : undefined;
  }
  if (code !== '') return describeNetworkCode(code);
  return name === 'TimeoutError' ? 'no answer in time' : undefined;
}
