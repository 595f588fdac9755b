/** Parses the head of a reply, strictly: anything unusual is unsupported and handled by the SDK. */

/** The longest head accepted; the service's have about 400 bytes. */
export const MAX_HEAD_BYTES = 8_192;

/** The head of a reply whose body has a known length. Header values are not checked. */
export interface ReplyHead {
  readonly status: number;
  /** Bytes of body that follow. */
  readonly contentLength: number;
  /** The connection can be used again after the body. */
  readonly keepAlive: boolean;
  readonly dataLength: number | undefined;
  readonly checksum: string | undefined;
  readonly algorithm: string | undefined;
  readonly requestId: string | undefined;
  /** All fields of an error reply, names in lower case, for the SDK. */
  readonly errorFields?: Readonly<Record<string, string>>;
}

/** The fast path cannot handle a request or its reply; the SDK may. */
export class UnsupportedReply extends Error {}

const FIELD_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** No control characters, so that no other parser can see the end of a line; no NBSP, which trim() removes. */
const FIELD_VALUE = /^[\t\x20-\x7e\x80-\x9f\xa1-\xff]*$/;
const DECIMAL = /^\d{1,15}$/;

/**
 * Parses status line and header fields.
 *
 * @param text the head without its final empty line, bytes as Latin-1
 * @throws UnsupportedReply for another protocol version, a malformed line, a transfer coding, or no single Content-Length
 */
export function parseReplyHead(text: string): ReplyHead {
  let end = text.indexOf('\r\n');
  if (end < 0) end = text.length;
  const status = parseStatusLine(text, end);
  let length: string | undefined;
  let connection: string | undefined;
  let dataLength: string | undefined;
  let checksum: string | undefined;
  let algorithm: string | undefined;
  let requestId: string | undefined;
  const errorFields = status >= 400 ? (Object.create(null) as Record<string, string>) : undefined;
  while (end < text.length) {
    const start = end + 2;
    end = text.indexOf('\r\n', start);
    if (end < 0) end = text.length;
    const colon = text.indexOf(':', start);
    if (colon < 0 || colon > end) throw new UnsupportedReply('a header line has no colon');
    const name = text.slice(start, colon);
    const line = text.slice(colon + 1, end);
    if (!FIELD_NAME.test(name) || !FIELD_VALUE.test(line))
      throw new UnsupportedReply('a header is malformed');
    // Blanks and tabs: FIELD_VALUE has no other white space.
    const value = line.trim();
    const key = name.toLowerCase();
    if (errorFields !== undefined) errorFields[key] = value;
    switch (key) {
      case 'content-length':
        // Node's parser takes no tabs here.
        length = once(length, line.includes('\t') ? line : value);
        break;
      case 'connection':
        connection = once(connection, value);
        break;
      case 'x-amz-data-length':
        dataLength = once(dataLength, value);
        break;
      case 'x-amz-checksum':
        checksum = once(checksum, value);
        break;
      case 'x-amz-checksum-algorithm':
        algorithm = once(algorithm, value);
        break;
      case 'x-amzn-requestid':
        requestId = value;
        break;
      case 'transfer-encoding':
      case 'content-encoding':
      case 'upgrade':
        throw new UnsupportedReply(`the body is encoded (${name})`);
    }
  }
  if (length === undefined || !DECIMAL.test(length))
    throw new UnsupportedReply('the head has no valid Content-Length');
  return {
    status,
    contentLength: Number(length),
    keepAlive: connection === undefined || connection.toLowerCase() === 'keep-alive',
    dataLength: dataLength === undefined ? undefined : decimal(dataLength),
    checksum,
    algorithm,
    requestId,
    ...(errorFields === undefined ? {} : { errorFields }),
  };
}

function parseStatusLine(text: string, end: number): number {
  const line = text.slice(0, end);
  if (!/^HTTP\/1\.1 [2-5]\d\d(?: |$)/.test(line) || !FIELD_VALUE.test(line))
    throw new UnsupportedReply('the status line is malformed');
  return Number(line.slice(9, 12));
}

function once(previous: string | undefined, value: string): string {
  if (previous !== undefined) throw new UnsupportedReply('a header occurs twice');
  return value;
}

/** NaN for anything but a plain number; every check of a length rejects it. */
function decimal(value: string): number {
  return DECIMAL.test(value) ? Number(value) : Number.NaN;
}
