/**
 * How callers say which service to use. These types are public, so they need no declarations of the AWS SDK, which a
 * consumer of the package may not have.
 */

/** How to reach the service. Options not given come from the SDK's chains: environment, profile files, instance role. */
export interface ServiceOptions {
  region?: string | undefined;
  profile?: string | undefined;
  /** Endpoint URL for both services; a service's own endpoint wins. */
  endpoint?: string | undefined;
  ebsEndpoint?: string | undefined;
  ec2Endpoint?: string | undefined;
}

/** Deadlines are for nothing happening, never for a whole request: a slow line is slow and not broken. */
export interface Deadlines {
  /** Milliseconds to establish a connection, TLS included. */
  readonly connectMs: number;
  /** Milliseconds without a byte moving in either direction. */
  readonly idleMs: number;
}

/** A client of the AWS SDK for JavaScript 3: an `EBSClient` or an `EC2Client`. */
export interface SdkClient {
  readonly config: object;
  send(command: never): Promise<unknown>;
  destroy(): void;
}
