/**
 * Error replies that arrived whole over the fast path. The SDK parses them and names the error, from what is there: to
 * have it ask again would be a second request for each throttle, which feeds what it is to ease.
 */
import { type EBSClient, GetSnapshotBlockCommand } from '@aws-sdk/client-ebs';
import { HttpResponse } from '@smithy/core/protocols';
import { type ReplyHead, UnsupportedReply } from './reply-head.ts';

/** The service's own have less than half a KiB. */
const MAX_ERROR_BYTES = 8_192;

export interface ErrorReply {
  readonly head: ReplyHead;
  /** Where its body goes. */
  readonly body: Uint8Array;
}

/** The reply as one that will be an error, with memory for its body; undefined when only the SDK can tell what it is. */
export function errorReply(head: ReplyHead): ErrorReply | undefined {
  if (!isError(head) || head.contentLength > MAX_ERROR_BYTES) return undefined;
  return { head, body: new Uint8Array(head.contentLength) };
}

/** An error is final: the service need not have taken the rest of a payload. */
export function isError({ status }: ReplyHead): boolean {
  return status >= 400;
}

/**
 * Has the client deal with the reply as if a request had brought it, which corrects its clock as well. Which request does
 * not matter: the service's operations have their errors in common.
 * @throws the SDK's exception; UnsupportedReply when it finds none
 */
export async function throwError(client: EBSClient, { head, body }: ErrorReply): Promise<never> {
  const response = new HttpResponse({ statusCode: head.status, headers: { ...head.errorFields }, body });
  const command = new GetSnapshotBlockCommand({ SnapshotId: 'snap-0', BlockIndex: 0, BlockToken: 'none' });
  // The innermost of all steps, where a request would be sent.
  command.middlewareStack.add(() => async () => ({ response, output: { $metadata: {} } }), {
    step: 'deserialize',
    priority: 'low',
    name: 'replyAtHand',
  });
  await client.send(command);
  throw new UnsupportedReply(`HTTP ${head.status} is no error`);
}
