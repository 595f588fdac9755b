/** Keeps credentials until they must be renewed. */
import type { ColdsnapError } from '../../errors.ts';
import { renewalFailed } from './messages.ts';

export interface Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken?: string;
  /** Where the source names it. */
  readonly accountId?: string;
  /** Absent for keys that do not expire. */
  readonly expiration?: Date;
}

/** A provider in the form of the SDK's. */
export interface CredentialProvider {
  (options?: { forceRefresh?: boolean }): Promise<Credentials>;
  /** Credentials at hand that need not be renewed. A promise for each block costs 1 % of a transfer. */
  atHand(): Credentials | undefined;
  /** Tells the SDK not to cache again: it would renew credentials that live for less than 5 minutes every time. */
  memoized?: boolean;
}

/** Credentials are renewed this long before they expire, but not before three quarters of their time. */
const MAX_EARLY_MS = 300_000;
/** Credentials that have expired on arrival are renewed after this time: the clock of this machine is wrong. */
const EXPIRED_MS = 300_000;
/** Between failed renewals of credentials that are still valid. */
const RETRY_MS = 10_000;

/**
 * Wraps a provider. Requests that need credentials at the same time share one call. A failed renewal does not matter while
 * the old credentials are valid.
 *
 * @param load gets new credentials; rejects with a ColdsnapError
 */
export function cached(load: () => Promise<Credentials>): CredentialProvider {
  let current: Credentials | undefined;
  let expires = 0;
  let renewAt = 0;
  let pending: Promise<Credentials> | undefined;

  const renew = (): Promise<Credentials> => {
    pending ??= load()
      .then((credentials) => {
        const now = Date.now();
        const left = (credentials.expiration?.getTime() ?? Number.POSITIVE_INFINITY) - now;
        current = credentials;
        // The service refuses credentials that have expired by its own clock, and then they are renewed.
        expires = left > 0 ? now + left : Number.POSITIVE_INFINITY;
        renewAt = now + (left > 0 ? left - Math.min(MAX_EARLY_MS, left / 4) : EXPIRED_MS);
        return credentials;
      })
      .finally(() => {
        pending = undefined;
      });
    return pending;
  };
  const provide = async (options?: { forceRefresh?: boolean }): Promise<Credentials> => {
    if (current === undefined) return renew();
    if (options?.forceRefresh !== true) {
      if (Date.now() < renewAt) return current;
      if (Date.now() < expires) {
        renewAt = Date.now() + RETRY_MS;
        renew().catch(() => {});
        return current;
      }
    }
    return renew().catch((error: ColdsnapError) => {
      throw renewalFailed(error);
    });
  };
  const atHand = () => (pending === undefined && Date.now() < renewAt ? current : undefined);
  return Object.assign(provide, { atHand, memoized: true });
}
