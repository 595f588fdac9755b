/**
 * Complete error replies of the fast path. The SDK parses the reply at hand: repeating the request through the SDK would
 * double the requests while the service throttles.
 */
import { type EBSClient, GetSnapshotBlockCommand } from '@aws-sdk/client-ebs';
import { HttpResponse } from '@smithy/core/protocols';
import { type ReplyHead, UnsupportedReply } from './reply-head.ts';

/** The service's error replies have less than 0.5 KiB. */
const MAX_ERROR_BYTES = 8_192;

export interface ErrorReply {
  readonly head: ReplyHead;
  /** Receives the body. */
  readonly body: Uint8Array;
}

/** An error reply with memory for its body; undefined if it is not an error, or too long. */
export function errorReply(head: ReplyHead): ErrorReply | undefined {
  if (!isError(head) || head.contentLength > MAX_ERROR_BYTES) return undefined;
  return { head, body: new Uint8Array(head.contentLength) };
}

/** Whether a reply is an error. The service may send one before it has read the whole payload. */
export function isError({ status }: ReplyHead): boolean {
  return status >= 400;
}

/**
 * Passes the reply through the client as if one of its requests had received it, which also corrects its clock. Any
 * operation will do, because all have the same exceptions.
 * @throws the SDK's exception, or UnsupportedReply if the SDK finds none
 */
export async function throwError(client: EBSClient, { head, body }: ErrorReply): Promise<never> {
  const response = new HttpResponse({ statusCode: head.status, headers: { ...head.errorFields }, body });
  const command = new GetSnapshotBlockCommand({ SnapshotId: 'snap-0', BlockIndex: 0, BlockToken: 'none' });
  // Replaces the innermost step, which would send the request.
  command.middlewareStack.add(() => async () => ({ response, output: { $metadata: {} } }), {
    step: 'deserialize',
    priority: 'low',
    name: 'replyAtHand',
  });
  await client.send(command);
  throw new UnsupportedReply(`HTTP ${head.status} is not an error`);
}
