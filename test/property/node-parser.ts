/** Node's own parser of replies, as its HTTP client uses it. */
import { createRequire } from 'node:module';

/** What Node understood. */
export interface NodeReply {
  readonly error: Error | undefined;
  readonly status: number;
  /** By names in lower case; of several with one name, all values, joined. */
  readonly fields: ReadonlyMap<string, string>;
  readonly keepAlive: boolean;
}

interface Parser {
  initialize(type: number, resource: object): void;
  execute(data: Buffer): number | Error;
  [callback: number]: unknown;
}

interface ParserClass {
  new (): Parser;
  readonly RESPONSE: number;
  readonly kOnHeaders: number;
  readonly kOnHeadersComplete: number;
}

const { HTTPParser } = createRequire(import.meta.url)('node:_http_common') as { HTTPParser: ParserClass };
const parser = new HTTPParser();

/** @param text a head with its empty line, bytes as Latin-1 */
export function parseWithNode(text: string): NodeReply {
  const flat: string[] = [];
  let status = 0;
  let keepAlive = false;
  parser[HTTPParser.kOnHeaders] = (headers: string[]) => {
    flat.push(...headers);
  };
  parser[HTTPParser.kOnHeadersComplete] = (...args: unknown[]) => {
    const [, , headers, , , code, , , keep] = args;
    flat.push(...((headers as string[] | undefined) ?? []));
    status = code as number;
    keepAlive = keep as boolean;
    return 0;
  };
  parser.initialize(HTTPParser.RESPONSE, {});
  const result = parser.execute(Buffer.from(text, 'latin1'));
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < flat.length; at += 2) {
    const name = (flat[at] as string).toLowerCase();
    const earlier = fields.get(name);
    fields.set(name, earlier === undefined ? (flat[at + 1] as string) : `${earlier}, ${flat[at + 1]}`);
  }
  return { error: result instanceof Error ? result : undefined, status, fields, keepAlive };
}
