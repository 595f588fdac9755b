/** Fetches blocks whose tokens may have expired: a transfer that lasts longer than 7 days needs new ones. */
import type { BlockReference, EbsDirectApi, ReceivedBlock } from '../ebs/api.ts';
import { listBlocks } from '../ebs/list/block-list.ts';
import { ColdsnapError } from '../errors.ts';

/** Blocks of which to keep the tokens when one has expired: those that follow have expired too. */
const RENEWED_AT_ONCE = 1_000;

/** Whom to ask for listings, and whom for blocks: these are repeated by whoever checks them. */
export interface TokenServices {
  readonly list: Pick<EbsDirectApi, 'listSnapshotBlocks'>;
  readonly get: Pick<EbsDirectApi, 'getSnapshotBlock'>;
}

export class BlockTokens {
  readonly #services: TokenServices;
  readonly #snapshotId: string;
  readonly #signal: AbortSignal;
  #renewed = new Map<number, string>();
  #renewing: Promise<void> = Promise.resolve();

  constructor(services: TokenServices, snapshotId: string, signal: AbortSignal) {
    this.#services = services;
    this.#snapshotId = snapshotId;
    this.#signal = signal;
  }

  /**
   * Fetches a block, listing again from its index when its token has expired.
   * @throws ColdsnapError class `permanent` when even a new token is refused
   */
  async fetch(reference: BlockReference, data: Uint8Array): Promise<ReceivedBlock> {
    const known = this.#renewed.get(reference.blockIndex);
    try {
      return await this.#get(reference, known ?? reference.blockToken, data);
    } catch (error) {
      if (!isExpired(error)) throw error;
    }
    const token = await this.#renew(reference.blockIndex, known);
    try {
      return await this.#get(reference, token, data);
    } catch (error) {
      if (!isExpired(error)) throw error;
      const message = `${error.message}, and was refused a second one as well`;
      throw error.reclassified('permanent', message);
    }
  }

  #get(reference: BlockReference, blockToken: string, data: Uint8Array): Promise<ReceivedBlock> {
    const request = { snapshotId: this.#snapshotId, blockIndex: reference.blockIndex, blockToken };
    return this.#services.get.getSnapshotBlock(request, data, { signal: this.#signal });
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
    throw new ColdsnapError(
      'permanent',
      'BAD_LIST',
      `${this.#snapshotId} does not list block ${block} any more`,
      {
        snapshotId: this.#snapshotId,
        block,
      },
    );
  }
}

function isExpired(error: unknown): error is ColdsnapError {
  return error instanceof ColdsnapError && error.class === 'expired-block-token';
}
