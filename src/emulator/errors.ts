/** Errors of the service: an HTTP status, a type, and for some types a reason. */

export class ServiceError extends Error {
  readonly status: number;
  /** For example `ValidationException`, or for EC2 `InvalidSnapshot.NotFound`. */
  readonly code: string;
  readonly reason: string | undefined;

  constructor(status: number, code: string, message: string, reason?: string) {
    super(message);
    this.name = 'ServiceError';
    this.status = status;
    this.code = code;
    this.reason = reason;
  }
}

export function validation(reason: string, message: string): ServiceError {
  return new ServiceError(400, 'ValidationException', message, reason);
}

export function invalidParameter(message: string): ServiceError {
  return validation('INVALID_PARAMETER_VALUE', message);
}

export function snapshotNotFound(id: string, region: string): ServiceError {
  return new ServiceError(
    404,
    'ResourceNotFoundException',
    `The snapshot '${id}' does not exist in ${region}.`,
    'SNAPSHOT_NOT_FOUND',
  );
}
