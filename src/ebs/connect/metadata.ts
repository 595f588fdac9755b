/** Credentials of a container or an EC2 instance, over HTTP on this machine and never through a proxy. */
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { readFailure } from '../failure.ts';
import { describeNetworkCode } from '../network-words.ts';
import type { Credentials } from './cached.ts';
import { checkExpiry } from './keys.ts';
import { quietLogger } from './logger.ts';
import { badCount, fileUnreadable, providerFailed, providerUnreachable } from './messages.ts';
import { profileKey, readSwitch, type Settings } from './settings.ts';
import { readVariable, type Variable } from './variables.ts';

const RELATIVE_URI = 'AWS_CONTAINER_CREDENTIALS_RELATIVE_URI';
const FULL_URI = 'AWS_CONTAINER_CREDENTIALS_FULL_URI';
const TOKEN = 'AWS_CONTAINER_AUTHORIZATION_TOKEN';
const TOKEN_FILE = 'AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE';

/** Milliseconds for one answer, and between attempts. */
const CONTAINER_TIMEOUT_MS = 1000;
const CONTAINER_RETRIES = 2;
/** Pauses between attempts to read from the instance. */
const INSTANCE_PAUSES_MS = [100, 400];

/** @returns undefined when no variable names a container's endpoint */
export async function fromContainer(): Promise<Credentials | undefined> {
  const relative = readVariable(RELATIVE_URI);
  const full = readVariable(FULL_URI);
  const uri = relative ?? full;
  if (uri === undefined) return undefined;
  const variable = relative === undefined ? FULL_URI : RELATIVE_URI;
  const provider = `the container's credential endpoint ${uri} (${variable})`;
  const tokenFile = readVariable(TOKEN_FILE);
  let token = readVariable(TOKEN);
  if (tokenFile !== undefined) {
    token = await readFile(tokenFile, 'utf8').catch((error: unknown) => {
      throw fileUnreadable(`token file (${TOKEN_FILE})`, tokenFile, error);
    });
  }
  if (token !== undefined && /[\r\n]/.test(token)) {
    const origin = tokenFile === undefined ? TOKEN : `the token file (${TOKEN_FILE}) ${tokenFile}`;
    throw providerFailed(provider, `${origin} has a line break, which a header cannot have`);
  }
  if (relative !== undefined && !relative.startsWith('/')) {
    throw providerFailed(provider, 'it must begin with "/"');
  }
  const url = relative === undefined ? uri : `http://169.254.170.2${relative}`;
  if (!URL.canParse(url) || !/^https?:/.test(url)) {
    throw providerFailed(provider, 'it is not a URL with http:// or https://');
  }
  const { fromHttp } = await import('@aws-sdk/credential-provider-http');
  try {
    const provide = fromHttp({
      // An absent variable and an empty one are the same.
      ...(relative === undefined ? {} : { awsContainerCredentialsRelativeUri: relative }),
      ...(relative === undefined ? { awsContainerCredentialsFullUri: uri } : {}),
      timeout: CONTAINER_TIMEOUT_MS,
      maxRetries: CONTAINER_RETRIES,
      logger: quietLogger,
    });
    return checkExpiry(provider, await provide());
  } catch (error) {
    const { message } = readFailure(error);
    const [, status] = /status: (\d+)/.exec(message) ?? [];
    if (/^URL not accepted/.test(message)) {
      throw providerFailed(provider, 'plain HTTP is allowed only to addresses of this machine');
    }
    if (status !== undefined) {
      const reason = `it replied with HTTP ${status}`;
      throw Number(status) < 500
        ? providerFailed(provider, reason)
        : providerUnreachable(provider, reason, error);
    }
    if (/required format|JSON/.test(message)) throw providerFailed(provider, 'the reply has no credentials');
    throw providerUnreachable(provider, networkReason(message), error);
  }
}

/**
 * Credentials of the instance's role.
 * @returns why there are none, when this is no instance or it has no role
 */
export async function fromInstance(settings: Settings): Promise<Credentials | string> {
  if (readSwitch(settings, 'AWS_EC2_METADATA_DISABLED')) return 'the instance metadata service is disabled';
  const service = 'the instance metadata service';
  const address = readVariable('AWS_EC2_METADATA_SERVICE_ENDPOINT');
  if (address !== undefined && !/^https?:\/\//.test(address)) {
    throw providerFailed(
      service,
      `AWS_EC2_METADATA_SERVICE_ENDPOINT is not a URL with http://: "${address}"`,
    );
  }
  const mode = readVariable('AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE');
  if (mode !== undefined && mode !== 'IPv4' && mode !== 'IPv6') {
    throw providerFailed(
      service,
      `AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE must be IPv4 or IPv6, not "${mode}"`,
    );
  }
  const seconds = readCount('AWS_METADATA_SERVICE_TIMEOUT');
  const attempts = readCount('AWS_METADATA_SERVICE_NUM_ATTEMPTS');
  const { fromInstanceMetadata } = await import('@smithy/credential-provider-imds');
  const provide = fromInstanceMetadata({
    timeout: seconds * 1000,
    maxRetries: attempts - 1,
    ec2MetadataV1Disabled:
      readSwitch(settings, 'AWS_EC2_METADATA_V1_DISABLED') ||
      profileKey(settings, 'ec2_metadata_v1_disabled') === 'true',
    logger: quietLogger,
  });
  for (let attempt = 0; ; attempt++) {
    try {
      return checkExpiry(service, await provide());
    } catch (error) {
      const { statusCode } = error as { statusCode?: number };
      const { code, message } = readFailure(error);
      if (statusCode === 404) return 'no role is attached to this instance';
      // Other machines have no such service: the connection fails, or nothing answers.
      const absent = code !== '' && code !== 'ECONNRESET';
      if (absent) return `${service} is not reachable (${describeNetworkCode(code)})`;
      const pause = INSTANCE_PAUSES_MS[/Timeout/.test(message) ? attempt + 1 : attempt];
      if (pause === undefined) {
        if (/Timeout/.test(message)) return `${service} does not answer`;
        const reason =
          statusCode === undefined ? 'its reply has no credentials' : `it replied with HTTP ${statusCode}`;
        throw providerUnreachable(service, reason, error);
      }
      await sleep(pause);
    }
  }
}

/** A whole number from 1, which is also the default. */
function readCount(variable: Variable): number {
  const text = readVariable(variable) ?? '1';
  if (!/^[1-9]\d{0,4}$/.test(text)) throw badCount(variable, text);
  return Number(text);
}

function networkReason(message: string): string {
  const [code = ''] = /\bE[A-Z]{4,}\b/.exec(message) ?? [];
  return code === '' ? 'no answer in time' : describeNetworkCode(code);
}
