/**
 * Environments and the identity that each gives, as the AWS CLI and boto3 find it. `npm run test:identity` compares all
 * three; the suite tests ours alone.
 */
import { createHash } from 'node:crypto';

export interface IdentityCase {
  readonly name: string;
  /** `URL` in a value stands for the address of the credential services, `HOME` for the home directory. */
  readonly env?: Readonly<Record<string, string>>;
  readonly profile?: string;
  readonly files?: Readonly<Record<string, string>>;
  /** The access key, or undefined when there must be an error. */
  readonly key: string | undefined;
  /** The code of our error. */
  readonly code?: string;
  /** Where we decide otherwise than botocore, and why. */
  readonly differs?: string;
}

const environmentKeys = { AWS_ACCESS_KEY_ID: 'ENVIRONMENT', AWS_SECRET_ACCESS_KEY: 'a secret' };
const instance = { AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: 'URL' };
const container = { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'URL/container' };
const web = { AWS_WEB_IDENTITY_TOKEN_FILE: 'HOME/token', AWS_ROLE_ARN: 'arn:aws:iam::111122223333:role/web' };
const staticKeys = (key: string) => `aws_access_key_id = ${key}\naws_secret_access_key = a secret\n`;
const credentials = `[default]\n${staticKeys('DEFAULT')}[work]\n${staticKeys('WORK')}`;
const role = (name: string) => `role_arn = arn:aws:iam::111122223333:role/${name}\n`;
const process = (key: string, seconds: number) =>
  `credential_process = sh -c 'echo run >> HOME/runs; echo "{\\"Version\\":1,\\"AccessKeyId\\":\\"${key}\\",\\"SecretAccessKey\\":\\"a secret\\",\\"SessionToken\\":\\"t\\",\\"Expiration\\":\\"$(date -u -d "+${seconds} seconds" +%Y-%m-%dT%H:%M:%SZ)\\"}"'\n`;

const ssoToken = (expires: string) =>
  JSON.stringify({ accessToken: 'a-token', expiresAt: expires, region: 'us-east-1' });
const sha1 = (text: string) => createHash('sha1').update(text).digest('hex');
const sso = '[profile work]\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = admin\n';
const ssoFiles = (expires: string) => ({
  config: `${sso}[sso-session corp]\nsso_region = us-east-1\nsso_start_url = https://corp.awsapps.com/start\n`,
  [`.aws/sso/cache/${sha1('corp')}.json`]: ssoToken(expires),
});

export const identityCases: readonly IdentityCase[] = [
  { name: 'keys in the environment', env: environmentKeys, key: 'ENVIRONMENT' },
  {
    name: 'keys in the environment go before AWS_PROFILE',
    env: { ...environmentKeys, AWS_PROFILE: 'work' },
    files: { credentials },
    key: 'ENVIRONMENT',
  },
  {
    name: 'a profile chosen by option goes before keys in the environment',
    env: environmentKeys,
    profile: 'work',
    files: { credentials },
    key: 'WORK',
  },
  {
    name: 'AWS_PROFILE chooses a profile',
    env: { AWS_PROFILE: 'work' },
    files: { credentials },
    key: 'WORK',
  },
  {
    name: 'AWS_DEFAULT_PROFILE goes before AWS_PROFILE',
    env: { AWS_DEFAULT_PROFILE: 'work', AWS_PROFILE: 'default' },
    files: { credentials },
    key: 'WORK',
  },
  { name: 'the default profile', files: { credentials }, key: 'DEFAULT' },
  {
    name: 'empty variables are absent',
    env: { AWS_ACCESS_KEY_ID: '', AWS_PROFILE: '' },
    files: { credentials },
    differs: 'botocore looks for a profile with an empty name',
    key: 'DEFAULT',
  },
  {
    name: 'keys of the credentials file go before those of the configuration file',
    files: { credentials, config: `[default]\n${staticKeys('CONFIG')}` },
    key: 'DEFAULT',
  },
  {
    name: 'half of a key in the environment is an error',
    env: { AWS_ACCESS_KEY_ID: 'HALF', ...instance },
    key: undefined,
    code: 'NO_CREDENTIALS',
  },
  { name: 'the instance', env: instance, key: 'INSTANCE' },
  { name: 'a container goes before the instance', env: { ...instance, ...container }, key: 'CONTAINER' },
  {
    name: 'a profile with settings alone uses the instance',
    env: { ...instance, AWS_PROFILE: 'place' },
    files: { config: '[profile place]\nregion = us-east-1\n' },
    key: 'INSTANCE',
  },
  {
    name: 'a missing profile is never the instance',
    env: { ...instance, AWS_PROFILE: 'nowhere' },
    files: { credentials },
    key: undefined,
    code: 'PROFILE_NOT_FOUND',
  },
  {
    name: 'a missing profile by option is never the instance',
    env: instance,
    profile: 'nowhere',
    key: undefined,
    code: 'PROFILE_NOT_FOUND',
  },
  {
    name: 'a profile with half of a key is never the instance',
    env: { ...instance, AWS_PROFILE: 'work' },
    files: { credentials: '[work]\naws_access_key_id = HALF\n' },
    key: undefined,
    code: 'PROFILE_INVALID',
  },
  {
    name: 'a process that fails is never the instance',
    env: { ...instance, AWS_PROFILE: 'work' },
    files: { config: "[profile work]\ncredential_process = sh -c 'echo the vault is sealed >&2; exit 3'\n" },
    key: undefined,
    code: 'CREDENTIALS_FAILED',
  },
  {
    name: 'a process that prints no JSON is never the instance',
    env: { ...instance, AWS_PROFILE: 'work' },
    files: { config: '[profile work]\ncredential_process = echo please log in\n' },
    key: undefined,
    code: 'CREDENTIALS_FAILED',
  },
  {
    name: 'a process',
    env: { AWS_PROFILE: 'work' },
    files: { config: `[profile work]\n${process('PROCESS', 3600)}` },
    key: 'PROCESS',
  },
  {
    name: 'keys of the credentials file go before a process',
    env: { AWS_PROFILE: 'work' },
    files: { credentials, config: `[profile work]\n${process('PROCESS', 3600)}` },
    key: 'WORK',
  },
  {
    name: 'a role',
    profile: 'ops',
    files: { credentials, config: `[profile ops]\n${role('ops')}source_profile = work\n` },
    key: 'OPS',
  },
  {
    name: 'a role whose source is its own profile',
    profile: 'ops',
    files: { config: `[profile ops]\n${role('ops')}source_profile = ops\n${staticKeys('OWN')}` },
    key: 'OPS',
  },
  {
    name: 'a role of a role',
    profile: 'deep',
    files: {
      credentials,
      config: `[profile ops]\n${role('ops')}source_profile = work\n[profile deep]\n${role('deep')}source_profile = ops\n`,
    },
    key: 'DEEP',
  },
  {
    name: 'a role from the environment',
    env: environmentKeys,
    profile: 'ops',
    files: { config: `[profile ops]\n${role('ops')}credential_source = Environment\n` },
    key: 'OPS',
  },
  {
    name: 'a role from the instance',
    env: instance,
    profile: 'ops',
    files: { config: `[profile ops]\n${role('ops')}credential_source = Ec2InstanceMetadata\n` },
    key: 'OPS',
  },
  {
    name: 'a role from the container',
    env: container,
    profile: 'ops',
    files: { config: `[profile ops]\n${role('ops')}credential_source = EcsContainer\n` },
    key: 'OPS',
  },
  {
    name: 'a refused role is never the instance',
    env: { ...instance, AWS_PROFILE: 'ops' },
    files: { credentials, config: `[profile ops]\n${role('denied')}source_profile = work\n` },
    key: undefined,
    code: 'ROLE_REFUSED',
  },
  {
    name: 'a role without a source is an error',
    env: instance,
    profile: 'ops',
    files: { config: `[profile ops]\n${role('ops')}` },
    key: undefined,
    code: 'PROFILE_INVALID',
  },
  {
    name: 'a role with a missing source is an error',
    env: instance,
    profile: 'ops',
    files: { config: `[profile ops]\n${role('ops')}source_profile = nowhere\n` },
    key: undefined,
    code: 'PROFILE_INVALID',
  },
  {
    name: 'roles in a circle are an error',
    env: instance,
    profile: 'a',
    files: {
      config: `[profile a]\n${role('a')}source_profile = b\n[profile b]\n${role('b')}source_profile = a\n`,
    },
    key: undefined,
    code: 'PROFILE_INVALID',
  },
  { name: 'a web identity', env: { ...web, ...instance }, files: { token: 'a token' }, key: 'WEB' },
  {
    name: 'a web identity goes before the keys of a profile',
    env: { ...web, AWS_PROFILE: 'work' },
    files: { token: 'a token', credentials },
    key: 'WEB',
  },
  {
    name: 'a profile chosen by option goes before a web identity',
    env: web,
    profile: 'work',
    files: { token: 'a token', credentials },
    key: 'WORK',
  },
  {
    name: 'a web identity of a profile',
    profile: 'pod',
    files: {
      token: 'a token',
      config: `[profile pod]\n${role('pod')}web_identity_token_file = HOME/token\n`,
    },
    key: 'POD',
  },
  {
    name: 'a missing token file is never the instance',
    env: { ...web, ...instance },
    key: undefined,
    code: 'CREDENTIALS_FAILED',
  },
  { name: 'SSO', profile: 'work', files: ssoFiles('2099-01-01T00:00:00Z'), key: 'SSO' },
  {
    name: 'an expired SSO session is never the instance',
    env: { ...instance, AWS_PROFILE: 'work' },
    files: ssoFiles('2020-01-01T00:00:00Z'),
    key: undefined,
    code: 'SSO_LOGIN_NEEDED',
  },
  {
    name: 'SSO without a session is an error',
    profile: 'work',
    files: { config: ssoFiles('').config ?? '' },
    key: undefined,
    code: 'SSO_LOGIN_NEEDED',
  },
  {
    name: 'SSO with a missing section is an error',
    env: instance,
    profile: 'work',
    files: { config: sso },
    key: undefined,
    code: 'PROFILE_INVALID',
  },
  {
    name: 'a container endpoint that refuses is never the instance',
    env: { ...instance, AWS_CONTAINER_CREDENTIALS_FULL_URI: 'URL/missing' },
    key: undefined,
    code: 'CREDENTIALS_FAILED',
  },
];

/** Replaces the placeholders of a case. */
export function fill(
  texts: Readonly<Record<string, string>> | undefined,
  places: Readonly<Record<'URL' | 'HOME', string>>,
): Record<string, string> {
  const filled = Object.entries(texts ?? {}).map(([name, text]) => [
    name,
    text.replaceAll('HOME/', `${places.HOME}/`).replace(/^URL/, places.URL),
  ]);
  return Object.fromEntries(filled) as Record<string, string>;
}
