/**
 * Gives every failure of a request its class, which decides whether it is retried. The tables follow the exceptions and
 * reasons of the service model (ebs, 2019-11-02) and the documentation of the EBS direct APIs.
 */
import { abortedError } from '../cancel.ts';
import type { ErrorCode } from '../error-codes.ts';
import { ColdsnapError, type ErrorClass } from '../errors.ts';
import { readFailure } from './failure.ts';
import { classifyNetwork, isBrokenOff } from './network-errors.ts';
import type { RequestContext } from './request-context.ts';
import { classifyException, classifyStatus } from './service-errors.ts';

/** Completes a sentence about the request, or is one about what the user asked for. */
type Problem = string | { readonly fact: string };

/** Makes an error about the request. `problem` continues the sentence "GetSnapshotBlock of block 7 (snap-1) …". */
export type MakeError = (
  errorClass: ErrorClass,
  code: ErrorCode,
  problem: Problem,
  hint?: string,
) => ColdsnapError;

/**
 * Turns anything that a request throws into a {@link ColdsnapError}. A ColdsnapError is returned unchanged, so that every
 * level may call this.
 *
 * @param signal if it has fired, the result is its reason
 */
export function classify(thrown: unknown, context: RequestContext, signal?: AbortSignal): ColdsnapError {
  if (thrown instanceof ColdsnapError) return thrown;
  if (signal?.aborted) return abortedError(signal);
  const failure = readFailure(thrown);
  const { requestId, httpStatus } = failure;
  const make: MakeError = (errorClass, code, problem, hint) =>
    new ColdsnapError(errorClass, code, describeProblem(problem, context), {
      ...context,
      requestId,
      httpStatus,
      hint,
      cause: thrown,
    });
  if (failure.name === 'AbortError') return make('aborted', 'ABORTED', 'was interrupted');
  const known = classifyException(failure, context, make);
  if (known !== undefined) return known;
  // An error reply that broke off may have been a throttle.
  if (httpStatus === undefined || isBrokenOff(failure)) {
    return classifyNetwork(failure, make);
  }
  return classifyStatus(failure, httpStatus, make);
}

function describeProblem(problem: Problem, context: RequestContext): string {
  return typeof problem === 'string' ? `${describe(context)} ${problem}` : problem.fact;
}

function describe({ operation, snapshotId, block }: RequestContext): string {
  const ofBlock = block === undefined ? '' : ` of block ${block}`;
  const snapshot = snapshotId === undefined ? '' : ` (${snapshotId})`;
  return `${operation}${ofBlock}${snapshot}`;
}
