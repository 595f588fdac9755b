/** Replies, and the format of errors in each protocol. */

import type { ServiceError } from './errors.ts';
import { element, textElement, xmlDocument } from './xml.ts';

export type Protocol = 'ebs' | 'ec2';

export interface Reply {
  status: number;
  /** Without Content-Length and the request ID, which `deliver` adds. */
  headers: Record<string, string | string[]>;
  body: Buffer;
  errorType?: string;
  errorReason?: string;
}

/** A reply with a JSON body; a string is sent as it is. */
export function jsonReply(status: number, body: unknown, headers: Record<string, string> = {}): Reply {
  return {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
    body: Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)),
  };
}

export function errorReply(protocol: Protocol, error: ServiceError, requestId: string): Reply {
  const reply =
    protocol === 'ebs'
      ? jsonReply(
          error.status,
          { Message: error.message, ...(error.reason === undefined ? {} : { Reason: error.reason }) },
          { 'x-amzn-ErrorType': error.code },
        )
      : xmlReply(
          error.status,
          xmlDocument(
            'Response',
            undefined,
            element(
              'Errors',
              element('Error', textElement('Code', error.code), textElement('Message', error.message)),
            ),
            textElement('RequestID', requestId),
          ),
        );
  reply.errorType = error.code;
  if (error.reason !== undefined) reply.errorReason = error.reason;
  return reply;
}

export function xmlReply(status: number, text: string): Reply {
  return { status, headers: { 'Content-Type': 'text/xml;charset=UTF-8' }, body: Buffer.from(text) };
}
