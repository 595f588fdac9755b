/**
 * Reads blocks of one snapshot. Wrong data are a failed request: the retry policy repeats both, and counts them together.
 * A transfer that lasts longer than 7 days needs new block tokens; they are listed again.
 */
import { createHash } from 'node:crypto';
import { abortable } from '../cancel.ts';
import { ColdsnapError } from '../errors.ts';
import type { EbsDirectApi, ReceivedBlock } from './api.ts';
import { listBlocks } from './list/block-list.ts';
import { wrongData } from './reply-checks.ts';
import type { RetryPolicy } from './retry.ts';

/** Blocks whose tokens are kept when one has expired: those of the blocks that follow have expired too. */
const RENEWED_AT_ONCE = 1_000;

interface ReaderServices {
  /** Lists with retries. */
  readonly list: Pick<EbsDirectApi, 'listSnapshotBlocks'>;
  /** Gets without: the reader repeats them together with the caller's checks. */
  readonly get: Pick<EbsDirectApi, 'getSnapshotBlock'>;
  readonly policy: RetryPolicy;
}

/** A block, with its token from a list where there is one. */
interface OptionalReference {
  readonly blockIndex: number;
  readonly blockToken?: string | undefined;
}

export class BlockReader {
  readonly #services: ReaderServices;
  readonly #snapshotId: string;
  readonly #signal: AbortSignal;
  #renewed = new Map<number, string>();
  #renewing: Promise<void> = Promise.resolve();

  constructor(services: ReaderServices, snapshotId: string, signal: AbortSignal) {
    this.#services = services;
    this.#snapshotId = snapshotId;
    this.#signal = signal;
  }

  /**
   * Reads a block and hands it to `use`; again, as a failed request, when `use` finds that the data do not match the digest.
   *
   * @param reference without a token, the block is listed first
   * @param buffer receives the block, padded with zeros
   * @param use is given the SHA-256 that the data must have
   * @throws ColdsnapError code `CHECKSUM_MISMATCH` when the data stay wrong; whatever the request fails with; whatever `use`
   *   fails with, after which the block is not read again
   */
  async read<Outcome extends string>(
    reference: OptionalReference,
    buffer: Uint8Array,
    use: (digest: Uint8Array) => Promise<Outcome | 'mismatch'>,
  ): Promise<Outcome> {
    const context = {
      operation: 'GetSnapshotBlock',
      snapshotId: this.#snapshotId,
      block: reference.blockIndex,
    };
    const result = await this.#services.policy.run(context, this.#signal, async (signal = this.#signal) => {
      const received = await this.#fetch(reference, buffer, signal);
      const outcome = await use(padded(buffer, received)).catch(failureOfUse);
      if (outcome !== 'mismatch') return outcome;
      throw wrongData({ ...context, requestId: received.requestId });
    });
    if (typeof result !== 'string') throw result.failure;
    return result;
  }

  /** @throws ColdsnapError class `permanent` when even a new token is refused */
  async #fetch(
    { blockIndex, blockToken }: OptionalReference,
    buffer: Uint8Array,
    signal: AbortSignal,
  ): Promise<ReceivedBlock> {
    const known = this.#renewed.get(blockIndex);
    try {
      const token = known ?? blockToken ?? (await abortable(this.#renew(blockIndex, undefined), signal));
      return await this.#get(blockIndex, token, buffer, signal);
    } catch (error) {
      if (!isExpired(error)) throw error;
    }
    const token = await abortable(this.#renew(blockIndex, known), signal);
    try {
      return await this.#get(blockIndex, token, buffer, signal);
    } catch (error) {
      if (!isExpired(error)) throw error;
      const message = `${error.message}, and was refused a second one as well`;
      throw error.reclassified('permanent', message);
    }
  }

  #get(
    blockIndex: number,
    blockToken: string,
    buffer: Uint8Array,
    signal: AbortSignal,
  ): Promise<ReceivedBlock> {
    const request = { snapshotId: this.#snapshotId, blockIndex, blockToken };
    return this.#services.get.getSnapshotBlock(request, buffer, { signal });
  }

  /** One listing at a time: the workers behind the first find their tokens renewed already. */
  async #renew(block: number, refused: string | undefined): Promise<string> {
    const turn = this.#renewing.then(async () => {
      const known = this.#renewed.get(block);
      if (known !== undefined && known !== refused) return;
      const range = { from: block, below: block + RENEWED_AT_ONCE, signal: this.#signal };
      for await (const { entries } of listBlocks(this.#services.list, this.#snapshotId, range)) {
        this.#renewed = new Map(entries.map((entry) => [entry.blockIndex, entry.blockToken]));
        // A page may be empty, and the block on the next.
        if (entries.length > 0) break;
      }
    });
    this.#renewing = turn.catch(() => {});
    await turn;
    const token = this.#renewed.get(block);
    if (token !== undefined) return token;
    const message = `${this.#snapshotId} no longer lists block ${block}`;
    throw new ColdsnapError('permanent', 'BAD_LIST', message, { snapshotId: this.#snapshotId, block });
  }
}

/** The request succeeded: the retry policy must not repeat it, which it would for an image that is damaged or too short. */
function failureOfUse(failure: unknown): { readonly failure: ColdsnapError } {
  if (failure instanceof ColdsnapError && failure.retryable) return { failure };
  throw failure;
}

function isExpired(error: unknown): error is ColdsnapError {
  return error instanceof ColdsnapError && error.class === 'expired-block-token';
}

/** A service may send less than a block; the rest is zeros, and the whole gets a digest of its own. */
function padded(data: Uint8Array, { dataLength, digest }: ReceivedBlock): Uint8Array {
  if (dataLength === data.length) return digest;
  const sent = createHash('sha256').update(data.subarray(0, dataLength)).digest();
  data.fill(0, dataLength);
  // The digest of other data fails the check that follows, as it should.
  return sent.equals(digest) ? createHash('sha256').update(data).digest() : new Uint8Array(32);
}
