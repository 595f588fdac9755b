/**
 * Block tokens and page tokens. Both are encrypted with a key in the data directory, so that tokens are opaque and
 * survive a restart.
 */

import {
  type CipherGCM,
  createCipheriv,
  createDecipheriv,
  createHash,
  type DecipherGCM,
  randomBytes,
} from 'node:crypto';

const PREFIX = 'AAAB';
const TOKEN_BYTES = 32;
/** Nonce, ciphertext and tag. */
const PAGE_TOKEN_BYTES = 12 + 32 + 16;
const TOKEN_PATTERN = /^AAAB[A-Za-z0-9+/]{43}=$/;

type TokenStatus = 'valid' | 'expired' | 'invalid';

/** Where a listing continues. */
export interface PagePosition {
  /** Operation and snapshots that the token is for. */
  scope: string;
  nextBlock: number;
  /** Empty pages before the next entries. */
  emptyPages: number;
}

export class Tokens {
  readonly #key: Buffer;

  constructor(key: Buffer) {
    this.#key = key;
  }

  /**
   * Creates one token for each of `blocks`, different in each listing. One pass of the cipher makes all tokens of a page,
   * because one HMAC each would slow down long listings.
   */
  mintBlockTokens(snapshotId: string, blocks: readonly number[], expiresAt: number): string[] {
    const plain = Buffer.alloc(blocks.length * TOKEN_BYTES);
    const nonce = randomBytes(8);
    const scope = scopeDigest(snapshotId);
    let offset = 0;
    for (const block of blocks) {
      plain.writeUInt32BE(block, offset);
      plain.writeUIntBE(expiresAt, offset + 4, 6);
      nonce.copy(plain, offset + 10, 0, 6);
      scope.copy(plain, offset + 16, 0, 12);
      plain.writeUInt32BE((block ^ nonce.readUInt32BE(4)) >>> 0, offset + 28);
      offset += TOKEN_BYTES;
    }
    const cipher = createCipheriv('aes-256-ecb', this.#key, null).setAutoPadding(false);
    const secret = Buffer.concat([cipher.update(plain), cipher.final()]);
    return blocks.map(
      (_, at) => PREFIX + secret.toString('base64', at * TOKEN_BYTES, (at + 1) * TOKEN_BYTES),
    );
  }

  checkBlockToken(token: string, snapshotId: string, block: number, now: number): TokenStatus {
    if (!TOKEN_PATTERN.test(token)) return 'invalid';
    const decipher = createDecipheriv('aes-256-ecb', this.#key, null).setAutoPadding(false);
    const plain = Buffer.concat([
      decipher.update(Buffer.from(token.slice(PREFIX.length), 'base64')),
      decipher.final(),
    ]);
    if (plain.readUInt32BE(0) !== block) return 'invalid';
    if (!plain.subarray(16, 28).equals(scopeDigest(snapshotId).subarray(0, 12))) return 'invalid';
    return now < plain.readUIntBE(4, 6) ? 'valid' : 'expired';
  }

  mintPageToken(position: PagePosition, expiresAt: number): string {
    const plain = Buffer.alloc(32);
    scopeDigest(position.scope).copy(plain, 0, 0, 16);
    plain.writeUIntBE(position.nextBlock, 16, 6);
    plain.writeUInt32BE(position.emptyPages, 22);
    plain.writeUIntBE(expiresAt, 26, 6);
    const iv = randomBytes(12);
    const cipher: CipherGCM = createCipheriv('aes-256-gcm', this.#key, iv);
    return Buffer.concat([iv, cipher.update(plain), cipher.final(), cipher.getAuthTag()]).toString('base64');
  }

  /** The position in the token's listing, or why the token is rejected. */
  readPageToken(token: string, scope: string, now: number): PagePosition | 'expired' | 'invalid' {
    const bytes = Buffer.from(token, 'base64');
    if (bytes.length !== PAGE_TOKEN_BYTES || bytes.toString('base64') !== token) return 'invalid';
    let plain: Buffer;
    try {
      const decipher: DecipherGCM = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, 12));
      decipher.setAuthTag(bytes.subarray(-16));
      plain = Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
    } catch {
      return 'invalid';
    }
    if (!plain.subarray(0, 16).equals(scopeDigest(scope).subarray(0, 16))) return 'invalid';
    if (now >= plain.readUIntBE(26, 6)) return 'expired';
    return { scope, nextBlock: plain.readUIntBE(16, 6), emptyPages: plain.readUInt32BE(22) };
  }
}

let lastScope: { scope: string; digest: Buffer } | undefined;

/** SHA-256 of a token's scope. The last one is cached, because a download uses the same scope for every block. */
function scopeDigest(scope: string): Buffer {
  if (lastScope?.scope !== scope) {
    lastScope = { scope, digest: createHash('sha256').update(scope).digest() };
  }
  return lastScope.digest;
}
