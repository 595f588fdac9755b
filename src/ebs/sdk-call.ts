/** Sends a command with an AWS SDK client and turns its failure into a ColdsnapError. */
import { abortable, abortedError, deadline } from '../cancel.ts';
import { ColdsnapError } from '../errors.ts';
import type { CredentialProvider, Credentials } from './connect/cached.ts';
import { classify } from './errors.ts';
import { withoutToken } from './failure.ts';
import type { RequestContext } from './request-context.ts';

/** Options of an SDK client's `send`. */
export interface SendOptions {
  abortSignal?: AbortSignal;
}

/** An instance role or a credential process answers within seconds. */
const CREDENTIALS_MS = 20_000;

/** How clients that were made here get their credentials. */
const providers = new WeakMap<object, CredentialProvider>();

/** Tells where the client's credentials come from, so that they are at hand for each request. */
export function setCredentialProvider(client: object, provider: CredentialProvider): void {
  providers.set(client, provider);
}

/** The part of an SDK client that gives the identity of its requests. */
interface CredentialsClient {
  readonly config: {
    readonly credentials: () => Promise<Credentials>;
    readonly region: () => Promise<string>;
  };
}

/**
 * The client's current credentials. Their provider may hang, and takes no signal.
 * @throws ColdsnapError class `transient`, code `STALLED`, when they do not arrive within 20 s; class `aborted`
 */
export function currentCredentials(
  client: CredentialsClient,
  signal: AbortSignal | undefined,
): Credentials | Promise<Credentials> {
  return providers.get(client)?.atHand() ?? askForCredentials(client, signal);
}

async function askForCredentials(
  client: CredentialsClient,
  signal: AbortSignal | undefined,
): Promise<Credentials> {
  const credentials = client.config.credentials();
  if (await settlesAtOnce(credentials)) return credentials;
  const limit = deadline(CREDENTIALS_MS, signal, () => {
    const message = `the credentials did not arrive within ${CREDENTIALS_MS / 1000} s`;
    return new ColdsnapError('transient', 'STALLED', message);
  });
  try {
    return await abortable(credentials, limit.signal);
  } finally {
    limit.end();
  }
}

/** Turns of the microtask queue in which credentials arrive that need not be renewed. */
const TURNS = 20;

/** Whether a promise settles without waiting for anything. A deadline for each block would cost 5 % of a transfer. */
async function settlesAtOnce(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = () => {
    settled = true;
  };
  promise.then(settle, settle);
  for (let turn = 0; turn < TURNS && !settled; turn++) await undefined;
  return settled;
}

/**
 * @param send returns soon after its signal has fired, or has sent nothing by then and will not
 * @param token secret of the request, removed from the error
 * @throws ColdsnapError of any class; `aborted` without sending when the signal has fired already
 */
export async function callSdk<T>(
  context: RequestContext,
  signal: AbortSignal | undefined,
  client: CredentialsClient,
  send: (options: SendOptions) => Promise<T>,
  token?: string,
): Promise<T> {
  if (signal?.aborted) throw abortedError(signal);
  try {
    await currentCredentials(client, signal);
    if (signal === undefined) return await send({});
    // The client looks at the signal only once it has credentials and an endpoint.
    return await abortable(send({ abortSignal: signal }), signal);
  } catch (error) {
    const failure = classify(withoutToken(error, token), context, signal);
    throw failure.code === 'SNAPSHOT_NOT_FOUND' ? await withPlace(failure, client) : failure;
  }
}

/** Says where a snapshot was looked for: a snapshot that does not exist is most often one of another region or account. */
async function withPlace(error: ColdsnapError, { config }: CredentialsClient): Promise<ColdsnapError> {
  try {
    const [region, { accountId }] = await Promise.all([config.region(), config.credentials()]);
    const account = accountId === undefined ? '' : `, account ${accountId}`;
    const { message } = error;
    // The service's own sentence may name the region.
    const place = message.endsWith(` in ${region}`) ? '' : ` in ${region}`;
    return error.reclassified(error.class, `${message}${place}${account}`);
  } catch {
    return error;
  }
}
