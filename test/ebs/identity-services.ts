/** Loopback servers that hand out credentials: instance metadata, a container's endpoint, STS and SSO. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

/** Credentials as such services return them. The names tell the tests where they came from. */
export function keysOf(name: string, livesSeconds = 3600) {
  const Expiration = new Date(Date.now() + livesSeconds * 1000).toISOString().replace(/\.\d+/, '');
  return { AccessKeyId: name, SecretAccessKey: `secret of ${name}`, Token: `token-of-${name}`, Expiration };
}

export interface IdentityServices {
  readonly url: string;
  /** Method and path of each request. */
  readonly requests: string[];
  /** Statuses for the next requests, instead of their replies; 0 for the reply. */
  readonly failures: number[];
}

/** Serves all of them at one address. Stops when the test ends. */
export async function startIdentityServices(t: TestContext): Promise<IdentityServices> {
  const requests: string[] = [];
  const failures: number[] = [];
  const server = createServer(async (request, reply) => {
    const { pathname } = new URL(request.url ?? '', 'http://x');
    const body = await textOf(request);
    const action = new URLSearchParams(body).get('Action');
    requests.push(action ?? `${request.method} ${pathname}`);
    if (action === 'GetCallerIdentity') {
      const [, key = ''] = /Credential=([^/]+)/.exec(request.headers.authorization ?? '') ?? [];
      const result = `<GetCallerIdentityResult><Arn>${key}</Arn></GetCallerIdentityResult>`;
      reply.writeHead(200, { 'content-type': 'text/xml' });
      reply.end(`<GetCallerIdentityResponse>${result}</GetCallerIdentityResponse>`);
      return;
    }
    const failure = failures.shift();
    if (failure) {
      reply.writeHead(failure).end('no');
      return;
    }
    answer(pathname, body, action, reply);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, failures };
}

function answer(path: string, body: string, action: string | null, reply: ServerResponse): void {
  const json = (value: unknown) => {
    reply.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(value));
  };
  if (action !== null) {
    answerSts(new URLSearchParams(body), reply);
    return;
  }
  switch (path) {
    case '/latest/api/token':
      reply.setHeader('x-aws-ec2-metadata-token-ttl-seconds', '21600');
      reply.end('an-imds-token');
      break;
    case '/latest/meta-data/iam/security-credentials/':
      reply.end('the-role');
      break;
    case '/latest/meta-data/iam/security-credentials/the-role':
      json({
        Code: 'Success',
        Type: 'AWS-HMAC',
        LastUpdated: '2026-01-01T00:00:00Z',
        ...keysOf('INSTANCE'),
      });
      break;
    case '/container':
      json(keysOf('CONTAINER'));
      break;
    case '/token':
      json({ accessToken: 'renewed', expiresIn: 3600, refreshToken: 'r2', tokenType: 'Bearer' });
      break;
    case '/federation/credentials':
      json({
        roleCredentials: {
          accessKeyId: 'SSO',
          secretAccessKey: 'secret of SSO',
          sessionToken: 'token-of-SSO',
          expiration: Date.now() + 3_600_000,
        },
      });
      break;
    default:
      reply.writeHead(404).end('not here');
  }
}

/** The role's name, after the slash, becomes the access key; a role named "denied" is refused. */
function answerSts(input: URLSearchParams, reply: ServerResponse): void {
  const action = input.get('Action') ?? '';
  const role = input.get('RoleArn')?.split('/').at(-1) ?? '';
  const code = input.get('TokenCode');
  reply.setHeader('content-type', 'text/xml');
  if (role === 'denied' || (code !== null && code !== '123456')) {
    const message = `User is not authorized to perform: sts:${action}`;
    const error = `<Error><Type>Sender</Type><Code>AccessDenied</Code><Message>${message}</Message></Error>`;
    reply.writeHead(403).end(`<ErrorResponse>${error}<RequestId>r</RequestId></ErrorResponse>`);
    return;
  }
  const { AccessKeyId, SecretAccessKey, Token, Expiration } = keysOf(role.toUpperCase());
  const user = `<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/${role}/x</Arn><AssumedRoleId>A:x</AssumedRoleId></AssumedRoleUser>`;
  const keys =
    `<AccessKeyId>${AccessKeyId}</AccessKeyId><SecretAccessKey>${SecretAccessKey}</SecretAccessKey>` +
    `<SessionToken>${Token}</SessionToken><Expiration>${Expiration}</Expiration>`;
  const result = `<${action}Result><Credentials>${keys}</Credentials>${user}</${action}Result>`;
  const space = 'xmlns="https://sts.amazonaws.com/doc/2011-06-15/"';
  reply.end(`<${action}Response ${space}>${result}</${action}Response>`);
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += chunk;
  return text;
}
