/** The emulator's options with all defaults. */

import { parseCredentials } from './credentials.ts';
import type { EmulatorOptions, EmulatorQuotas, EmulatorSecret, RequestRecord } from './options.ts';

/** Node fires longer timers immediately. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Options with every default filled in. */
export interface Settings {
  readonly region: string;
  readonly regionGiven: boolean;
  readonly accountId: string;
  readonly credentials: ReadonlyMap<string, EmulatorSecret> | undefined;
  readonly blockSize: number;
  readonly pageSize: number;
  readonly emptyPages: number;
  readonly completionDelayMs: number;
  readonly pendingTimeoutMs: number | undefined;
  readonly blockTokenLifeMs: number;
  readonly pageTokenLifeMs: number;
  readonly notVisibleMs: number;
  readonly encryptedByDefault: boolean;
  readonly knownKmsKeys: readonly string[] | undefined;
  readonly quotas: EmulatorQuotas;
  readonly delayMs: number;
  readonly onRequest: ((record: RequestRecord) => void) | undefined;
  readonly now: () => number;
}

/**
 * Validates the options and fills in the defaults.
 *
 * @throws RangeError for a value out of range, ColdsnapError (`usage`) for malformed credentials
 */
export function resolveSettings(options: EmulatorOptions): Settings {
  const blockSize = options.blockSize ?? 524_288;
  if (!Number.isInteger(Math.log2(blockSize)) || blockSize < 512 || blockSize > 2 ** 26) {
    throw new RangeError(`blockSize must be a power of two from 512 to 67108864, not ${blockSize}`);
  }
  const pageSize = options.pageSize ?? 10_000;
  if (!Number.isInteger(pageSize) || pageSize < 1) {
    throw new RangeError(`pageSize must be a whole number from 1, not ${pageSize}`);
  }
  const quotas = options.quotas ?? {};
  for (const [name, value] of Object.entries(quotas)) {
    if (value !== undefined && !(value > 0)) throw new RangeError(`${name} must be above 0, not ${value}`);
  }
  const delayMs = options.delayMs ?? 0;
  if (!(delayMs >= 0 && delayMs <= MAX_TIMER_MS)) {
    throw new RangeError(`delayMs must be from 0 to ${MAX_TIMER_MS}, not ${delayMs}`);
  }
  return {
    region: options.region ?? 'us-east-1',
    regionGiven: options.region !== undefined,
    accountId: options.accountId ?? '111122223333',
    credentials: options.credentials === undefined ? undefined : parseCredentials(options.credentials),
    blockSize,
    pageSize,
    emptyPages: Number(options.emptyPages ?? 0),
    completionDelayMs: options.completionDelayMs ?? 0,
    pendingTimeoutMs: options.pendingTimeoutMs,
    blockTokenLifeMs: options.blockTokenLifeMs ?? 7 * 24 * 3_600_000,
    pageTokenLifeMs: options.pageTokenLifeMs ?? 3_600_000,
    notVisibleMs: options.notVisibleMs ?? 0,
    encryptedByDefault: options.encryptedByDefault ?? false,
    knownKmsKeys: options.knownKmsKeys,
    quotas,
    delayMs,
    onRequest: options.onRequest,
    now: options.now ?? Date.now,
  };
}
