/** Handles HTTP requests: routing, faults, operations, replies. */

import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { deliver, endConnection } from './deliver.ts';
import { digestOf } from './digest.ts';
import { ec2Action, ec2Operation, ec2SnapshotId } from './ec2.ts';
import { ServiceError } from './errors.ts';
import { type FaultPlan, planFaults } from './fault-plan.ts';
import type { FaultRules } from './faults.ts';
import { ebsOperation } from './operations/index.ts';
import { errorReply, type Protocol, type Reply } from './reply.ts';
import { type OpenRecord, publicHeaders, publicPath, type RequestLog } from './request-log.ts';
import { type Route, routeOf } from './routes.ts';
import type { Service } from './service.ts';
import { checkSignature } from './sigv4.ts';

/** Limit of a request body that is not a block. */
const MAX_BODY_BYTES = 2 ** 20;

/** One request and the state of its reply. */
interface Exchange {
  request: IncomingMessage;
  response: ServerResponse;
  requestId: string;
  protocol: Protocol;
  target: string;
  query: URLSearchParams;
  route: Route;
  record: OpenRecord;
}

export class Handler {
  faults: FaultRules;
  readonly #service: Service;
  readonly #log: RequestLog;
  readonly #signal: AbortSignal;
  readonly #connections = new WeakMap<Socket, number>();
  #connectionCount = 0;

  constructor(service: Service, log: RequestLog, faults: FaultRules, signal: AbortSignal) {
    this.#service = service;
    this.#log = log;
    this.faults = faults;
    this.#signal = signal;
  }

  /** Handles one request; never rejects. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    // A client that disconnects is not a failure of the emulator.
    response.on('error', () => {});
    request.on('error', () => {});
    try {
      await this.#exchange(request, response);
    } catch (error) {
      if (this.#signal.aborted || request.destroyed) return endConnection(response, false);
      process.emitWarning(error instanceof Error ? error : String(error));
      endConnection(response, false);
    }
  }

  async #exchange(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const target = request.url ?? '/';
    const mark = target.indexOf('?');
    const path = mark === -1 ? target : target.slice(0, mark);
    const query = new URLSearchParams(mark === -1 ? '' : target.slice(mark + 1));
    const ebsRoute = routeOf(request.method ?? '', path);
    const protocol: Protocol = ebsRoute === undefined ? 'ec2' : 'ebs';
    // An EC2 request names its operation in its body.
    const body = ebsRoute === undefined ? await this.#readBody(request) : undefined;
    const route = ebsRoute ?? ec2Route(body as Buffer);
    const exchange: Exchange = {
      request,
      response,
      requestId: randomUUID(),
      protocol,
      target,
      query,
      route,
      record: this.#record(request, target, route),
    };
    const actions = this.faults.match(route);
    const { record } = exchange;
    if (actions.length > 0) record.fault = actions.map((action) => action.type).join('+');
    this.#log.add(record);
    try {
      await this.#respond(exchange, body, planFaults(actions));
    } finally {
      this.#service.settings.onRequest?.(record);
    }
  }

  /** Waits as delay and faults demand, then answers. An EC2 request's body has been read already. */
  async #respond(exchange: Exchange, received: Buffer | undefined, plan: FaultPlan): Promise<void> {
    const { request, query } = exchange;
    if (plan.ignorePageToken) query.delete('pageToken');
    const delayMs = this.#service.settings.delayMs + plan.delayMs;
    if (delayMs > 0) await sleep(delayMs, undefined, { signal: this.#signal });
    if (plan.replacement?.kind === 'stall' && plan.replacement.fault.at === 'request') {
      if (plan.replacement.fault.ms === undefined) return;
      await sleep(plan.replacement.fault.ms, undefined, { signal: this.#signal });
      plan.replacement = undefined;
    }
    await this.#answer(exchange, received ?? (await this.#readBody(request)), plan);
  }

  async #answer(exchange: Exchange, body: Buffer, plan: FaultPlan): Promise<void> {
    const { response, requestId, record, protocol } = exchange;
    const { replacement } = plan;
    if (replacement?.kind === 'stall' && replacement.fault.ms !== undefined) {
      await sleep(replacement.fault.ms, undefined, { signal: this.#signal });
    } else if (replacement !== undefined && replacement.kind !== 'reply') {
      if (replacement.executed) await this.#execute(exchange, body);
      if (replacement.kind === 'drop') endConnection(response, replacement.fault.reset === true);
      return;
    }
    let reply: Reply;
    if (replacement?.kind === 'reply') {
      if (replacement.executed) await this.#execute(exchange, body);
      reply = replacement.make(protocol, requestId);
    } else {
      reply = await this.#execute(exchange, body);
    }
    plan.alter(reply);
    record.status = reply.status;
    if (reply.errorType !== undefined) record.errorType = reply.errorType;
    if (reply.errorReason !== undefined) record.errorReason = reply.errorReason;
    this.#log.changed(record);
    await deliver(response, reply, requestId, plan.delivery, this.#signal);
  }

  /** Executes the operation; a ServiceError becomes an error reply. */
  async #execute(exchange: Exchange, body: Buffer): Promise<Reply> {
    const { request, requestId, protocol, route, target, query } = exchange;
    // Both the signature and the checksum of a block need it.
    let computed: Buffer | undefined;
    const digest = () => {
      computed ??= digestOf(body);
      return computed;
    };
    try {
      checkSignature(this.#service.settings, {
        protocol,
        operation: route.operation,
        method: request.method ?? '',
        target,
        headers: request.headers,
        bodyHash: () => digest().toString('hex'),
      });
      if (body.length > this.#maxBodyBytes)
        throw new ServiceError(413, 'RequestEntityTooLargeException', 'The request body is too large.');
      if (protocol === 'ec2')
        return ec2Operation(this.#service, new URLSearchParams(body.toString()), requestId);
      return await ebsOperation(this.#service, {
        operation: route.operation,
        snapshotId: route.snapshotId ?? '',
        blockIndex: route.blockIndex ?? -1,
        query,
        headers: request.headers,
        body,
        digest,
        requestId,
      });
    } catch (error) {
      if (error instanceof ServiceError) return errorReply(protocol, error, requestId);
      process.emitWarning(error instanceof Error ? error : String(error));
      const failure = new ServiceError(500, 'InternalServerException', `Emulator failure: ${error}`);
      return errorReply(protocol, failure, requestId);
    }
  }

  /** Reads the whole body; discards what exceeds the limit. */
  async #readBody(request: IncomingMessage): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let length = 0;
    for await (const piece of request as AsyncIterable<Buffer>) {
      if (length > this.#maxBodyBytes) continue;
      pieces.push(piece);
      length += piece.length;
    }
    return Buffer.concat(pieces, length);
  }

  get #maxBodyBytes(): number {
    return Math.max(MAX_BODY_BYTES, this.#service.settings.blockSize);
  }

  #record(request: IncomingMessage, target: string, route: Route): OpenRecord {
    let connectionId = this.#connections.get(request.socket);
    if (connectionId === undefined) {
      connectionId = ++this.#connectionCount;
      this.#connections.set(request.socket, connectionId);
    }
    return {
      seq: this.#log.nextSeq(),
      time: this.#service.settings.now(),
      operation: route.operation,
      ...(route.snapshotId === undefined ? {} : { snapshotId: route.snapshotId }),
      ...(route.blockIndex === undefined ? {} : { blockIndex: route.blockIndex }),
      method: request.method ?? '',
      path: publicPath(target),
      headers: publicHeaders(request.headersDistinct),
      connectionId,
      status: 0,
    };
  }
}

function ec2Route(body: Buffer): Route {
  const form = new URLSearchParams(body.toString());
  const snapshotId = ec2SnapshotId(form);
  return snapshotId === undefined
    ? { operation: ec2Action(form) }
    : { operation: ec2Action(form), snapshotId };
}
