/** The public options of clients. They need no declarations of the AWS SDK, which a consumer may not have. */

/**
 * How to reach the service. Region, credentials and endpoints that are not given come from the environment, the AWS
 * configuration files, or the container or instance, in the order of the AWS CLI.
 */
export interface ServiceOptions {
  region?: string | undefined;
  profile?: string | undefined;
  /** Endpoint URL for both services; a service's own endpoint wins. */
  endpoint?: string | undefined;
  ebsEndpoint?: string | undefined;
  ec2Endpoint?: string | undefined;
  /** Asks the user for the code of an MFA device, given its serial number. Default: roles that need one are refused. */
  mfaCode?: ((serial: string) => Promise<string>) | undefined;
  /**
   * Milliseconds without any success after which retrying ends. Default 600,000 (10 min). An endpoint that was never reached
   * is given up after 5 seconds already.
   */
  retryForMs?: number | undefined;
}

/** Limits for the time without progress. Whole requests have no limit, because a slow network is not an error. */
export interface Deadlines {
  /** Milliseconds to establish a connection, TLS included. */
  readonly connectMs: number;
  /** Milliseconds without data in either direction. */
  readonly idleMs: number;
}

/** A client of the AWS SDK for JavaScript 3: an `EBSClient` or an `EC2Client`. */
export interface SdkClient {
  readonly config: object;
  send(command: never): Promise<unknown>;
  destroy(): void;
}
