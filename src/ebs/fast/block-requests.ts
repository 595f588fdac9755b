/** Builds the heads of the two block requests, signed with the SDK client's credentials, region and clock. */
import type { EBSClient } from '@aws-sdk/client-ebs';
import { escapeUri } from '@smithy/core/protocols';
import { version } from '../../version.ts';
import type { GetBlockRequest, PutBlockRequest } from '../api.ts';
import type { Origin } from './origin.ts';
import { UnsupportedReply } from './reply-head.ts';
import { RequestSigner } from './request-signer.ts';

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
/** IDs that need no escaping in a path. */
const PLAIN_ID = /^[\w-]+$/;

export class BlockRequests {
  readonly #signer: RequestSigner;
  readonly #authority: string;
  readonly #pathPrefix: string;
  readonly #lastLine = `user-agent: app/coldsnap-${version}\r\n\r\n`;

  constructor(client: EBSClient, region: string, origin: Origin) {
    this.#signer = new RequestSigner(client, region);
    this.#authority = origin.authority;
    this.#pathPrefix = origin.pathPrefix;
  }

  /**
   * The head of GetSnapshotBlock, with the empty line.
   * @throws UnsupportedReply for a snapshot ID or credentials that need escaping
   */
  async get(request: GetBlockRequest, signal?: AbortSignal): Promise<string> {
    const path = this.#path(request);
    const query = `blockToken=${escapeUri(request.blockToken)}`;
    const canonical = {
      method: 'GET',
      path,
      query,
      fields: `host:${this.#authority}\nx-amz-content-sha256:${EMPTY_SHA256}\n`,
      fieldNames: 'host;x-amz-content-sha256',
      payloadHash: EMPTY_SHA256,
    };
    const fields = await this.#signer.sign(canonical, signal);
    return `GET ${path}?${query} HTTP/1.1\r\n${fields}${this.#lastLine}`;
  }

  /**
   * The head of PutSnapshotBlock, with the empty line. The payload's digest is signed as its hash.
   * @param checksum the digest in base64
   * @throws UnsupportedReply as `get` does
   */
  async put(request: PutBlockRequest, checksum: string, signal?: AbortSignal): Promise<string> {
    const path = this.#path(request);
    const { digest, data } = request;
    const payloadHash = Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString('hex');
    const canonical = {
      method: 'PUT',
      path,
      query: '',
      fields:
        `content-length:${data.length}\ncontent-type:application/octet-stream\nhost:${this.#authority}\n` +
        `x-amz-checksum:${checksum}\nx-amz-checksum-algorithm:SHA256\nx-amz-content-sha256:${payloadHash}\n` +
        `x-amz-data-length:${data.length}\n`,
      fieldNames:
        'content-length;content-type;host;x-amz-checksum;x-amz-checksum-algorithm;x-amz-content-sha256;x-amz-data-length',
      payloadHash,
    };
    const fields = await this.#signer.sign(canonical, signal);
    return `PUT ${path} HTTP/1.1\r\n${fields}${this.#lastLine}`;
  }

  #path({ snapshotId, blockIndex }: { snapshotId: string; blockIndex: number }): string {
    if (!PLAIN_ID.test(snapshotId)) throw new UnsupportedReply('the snapshot ID needs escaping');
    return `${this.#pathPrefix}/snapshots/${snapshotId}/blocks/${blockIndex}`;
  }
}
