/** Temporary credentials of a role, from AWS STS. */
import type {
  AssumeRoleCommandInput,
  AssumeRoleWithWebIdentityCommandInput,
} from '@aws-sdk/nested-clients/sts';
import { readFailure } from '../failure.ts';
import type { Credentials } from './cached.ts';
import { providerUnreachable, roleRefused } from './messages.ts';
import type { CredentialContext } from './profile-credentials.ts';
import { describeUnreachable } from './unreachable.ts';

/** @param origin where the role is configured, for messages */
export async function assumeRole(
  context: CredentialContext,
  caller: Credentials,
  origin: string,
  input: AssumeRoleCommandInput,
): Promise<Credentials> {
  const { STSClient, AssumeRoleCommand } = await import('@aws-sdk/nested-clients/sts');
  const client = new STSClient({
    ...(await context.clientConfigFor('sts')),
    region: context.region,
    credentials: caller,
  });
  return receive(input.RoleArn ?? '', origin, () => client.send(new AssumeRoleCommand(input)));
}

/** As {@link assumeRole}, with a token instead of credentials. */
export async function assumeRoleWithWebIdentity(
  context: CredentialContext,
  origin: string,
  input: AssumeRoleWithWebIdentityCommandInput,
): Promise<Credentials> {
  const { STSClient, AssumeRoleWithWebIdentityCommand } = await import('@aws-sdk/nested-clients/sts');
  const client = new STSClient({
    ...(await context.clientConfigFor('sts')),
    region: context.region,
    // The request is not signed.
    credentials: { accessKeyId: '', secretAccessKey: '' },
  });
  return receive(input.RoleArn ?? '', origin, () => client.send(new AssumeRoleWithWebIdentityCommand(input)));
}

interface StsReply {
  readonly Credentials?:
    | {
        readonly AccessKeyId?: string | undefined;
        readonly SecretAccessKey?: string | undefined;
        readonly SessionToken?: string | undefined;
        readonly Expiration?: Date | undefined;
      }
    | undefined;
}

async function receive(role: string, origin: string, send: () => Promise<StsReply>): Promise<Credentials> {
  const provider = `the role ${role} (${origin})`;
  let reply: StsReply;
  try {
    reply = await send();
  } catch (error) {
    const unreachable = describeUnreachable(error);
    if (unreachable !== undefined) throw providerUnreachable(provider, `AWS STS: ${unreachable}`, error);
    const { name, message, requestId, httpStatus } = readFailure(error);
    throw roleRefused(role, origin, message || name, { requestId, httpStatus, hint: hintFor(name, role) });
  }
  const { AccessKeyId, SecretAccessKey, SessionToken, Expiration } = reply.Credentials ?? {};
  if (!AccessKeyId || !SecretAccessKey) throw roleRefused(role, origin, 'the reply has no credentials', {});
  return {
    accessKeyId: AccessKeyId,
    secretAccessKey: SecretAccessKey,
    ...(SessionToken ? { sessionToken: SessionToken } : {}),
    ...(Expiration === undefined ? {} : { expiration: Expiration }),
  };
}

function hintFor(name: string, role: string): string {
  if (/ExpiredToken|InvalidClientTokenId|SignatureDoesNotMatch/.test(name)) {
    return 'Renew the credentials that assume the role, and check the clock of this machine.';
  }
  if (/InvalidIdentityToken|IDP/.test(name)) return 'Renew the web identity token.';
  return `Allow the calling identity the IAM action sts:AssumeRole on ${role}, and name it in the role's trust policy.`;
}
