/** Writes and signs the heads of the two block requests, with the SDK client's credentials, region and clock. */
import type { EBSClient } from '@aws-sdk/client-ebs';
import { Sha256 } from '@smithy/core/checksum';
import { escapeUri, HttpRequest } from '@smithy/core/protocols';
import { SignatureV4 } from '@smithy/signature-v4';
import { version } from '../../version.ts';
import type { GetBlockRequest, PutBlockRequest } from '../api.ts';
import type { Origin } from './origin.ts';
import { NotUnderstood } from './reply-head.ts';

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
/** What a header line can carry; a credential with anything else is not a credential, and no line of its own. */
const HEADER_TEXT = /^[\x20-\x7e]*$/;

export class BlockRequests {
  readonly #client: EBSClient;
  readonly #origin: Origin;
  readonly #signer: SignatureV4;
  readonly #userAgent: string;

  constructor(client: EBSClient, origin: Origin) {
    this.#client = client;
    this.#origin = origin;
    this.#userAgent = `user-agent: app/coldsnap-${version}\r\n\r\n`;
    this.#signer = new SignatureV4({
      service: 'ebs',
      region: client.config.region,
      credentials: client.config.credentials,
      sha256: Sha256,
    });
  }

  /** The head of GetSnapshotBlock, down to the empty line. */
  get(request: GetBlockRequest): Promise<string> {
    return this.#head(
      'GET',
      request,
      { blockToken: request.blockToken },
      {
        host: this.#origin.authority,
        'x-amz-content-sha256': EMPTY_SHA256,
      },
    );
  }

  /** The head of PutSnapshotBlock, down to the empty line. The payload's hash is signed, and not computed here. */
  put(request: PutBlockRequest, checksum: string): Promise<string> {
    const { digest } = request;
    const length = String(request.data.length);
    return this.#head('PUT', request, undefined, {
      host: this.#origin.authority,
      'content-type': 'application/octet-stream',
      'content-length': length,
      'x-amz-content-sha256': Buffer.from(digest.buffer, digest.byteOffset, digest.length).toString('hex'),
      'x-amz-data-length': length,
      'x-amz-checksum': checksum,
      'x-amz-checksum-algorithm': 'SHA256',
    });
  }

  async #head(
    method: string,
    { snapshotId, blockIndex }: { snapshotId: string; blockIndex: number },
    query: Record<string, string> | undefined,
    headers: Record<string, string>,
  ): Promise<string> {
    const path = `${this.#origin.pathPrefix}/snapshots/${escapeUri(snapshotId)}/blocks/${blockIndex}`;
    const signed = await this.#signer.sign(
      new HttpRequest({ method, path, headers, ...(query === undefined ? {} : { query }) }),
      { signingDate: new Date(Date.now() + this.#client.config.systemClockOffset) },
    );
    let head = `${method} ${path}`;
    if (query !== undefined) head += `?blockToken=${escapeUri(query.blockToken ?? '')}`;
    head += ' HTTP/1.1\r\n';
    for (const name in signed.headers) {
      const value = signed.headers[name] as string;
      if (!HEADER_TEXT.test(value)) throw new NotUnderstood(`${name} cannot be sent`);
      head += `${name}: ${value}\r\n`;
    }
    return head + this.#userAgent;
  }
}
