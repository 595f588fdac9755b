/** Configuration files with odd syntax, and the identity that the AWS CLI and boto3 find in them. As identities.ts. */
import type { IdentityCase } from './identities.ts';

const keys = (key: string) => `aws_access_key_id = ${key}\naws_secret_access_key = a secret\n`;
const role = (name: string) => `role_arn = arn:aws:iam::111122223333:role/${name}\n`;
/** So that an overlooked key shows: the next source is another identity. */
const instance = { AWS_EC2_METADATA_DISABLED: 'false', AWS_EC2_METADATA_SERVICE_ENDPOINT: 'URL' };
const json = (key: string) =>
  `{\\"Version\\":1,\\"AccessKeyId\\":\\"${key}\\",\\"SecretAccessKey\\":\\"s\\"}`;

type Rest = Partial<Omit<IdentityCase, 'name' | 'key' | 'files'>>;

function inCredentials(name: string, text: string, key?: string, rest: Rest = {}): IdentityCase {
  const code = key === undefined ? { code: 'CONFIG_FILE_INVALID' } : {};
  return { name, env: instance, files: { credentials: text }, key, ...code, ...rest };
}

function inConfig(name: string, text: string, key?: string, rest: Rest = {}): IdentityCase {
  return { ...inCredentials(name, '', key, rest), files: { config: text } };
}

function inProfile(name: string, text: string, profile: string): IdentityCase {
  return inConfig(name, text, 'WORK', { profile });
}

export const configFileCases: readonly IdentityCase[] = [
  inCredentials('keys in capitals', `[default]\n${keys('WORK').replaceAll('aws', 'AWS')}`, 'WORK'),
  inCredentials('colons', `[default]\n${keys('WORK').replaceAll(' =', ':')}`, 'WORK'),
  inCredentials('Windows line ends', `[default]\n${keys('WORK')}`.replaceAll('\n', '\r\n'), 'WORK'),
  inCredentials('old Macintosh line ends', `[default]\n${keys('WORK')}`.replaceAll('\n', '\r'), 'WORK'),
  inCredentials('indentation', `  [default]\n\t${keys('WORK').replace('\n', '\n\t')}`, 'WORK'),
  inCredentials(
    'an empty value before indented keys',
    '[default]\n  region =\n  aws_access_key_id = WORK\n  aws_secret_access_key = s\n',
    'WORK',
  ),
  inCredentials('a comment after a section', `[default] # mine\n${keys('WORK')}`, 'WORK'),
  inCredentials('a comment after a value', `[default]\n${keys('WORK').replace('\n', ' # mine\n')}`, 'WORK', {
    differs: 'the AWS CLI takes the comment for a part of the key',
  }),
  inCredentials('a byte order mark', `\uFEFF[default]\n${keys('WORK')}`, 'WORK', {
    differs: 'the AWS CLI rejects the file',
  }),
  inCredentials(
    'a section named __proto__',
    `[__proto__]\n${keys('OTHER')}[default]\n${keys('WORK')}`,
    'WORK',
  ),
  inCredentials(
    'a profile that is named like a property of objects',
    `[default]\n${keys('WORK')}`,
    undefined,
    {
      profile: 'constructor',
      code: 'PROFILE_NOT_FOUND',
    },
  ),
  inCredentials('a key without "="', '[default]\naws_access_key_id WORK\naws_secret_access_key s\n'),
  inCredentials('keys before the first section', `${keys('WORK')}[work]\n${keys('OTHER')}`),
  inCredentials('a section twice', `[default]\n${keys('WORK')}[default]\n${keys('OTHER')}`),
  inCredentials('a key twice', `[default]\naws_access_key_id = OTHER\n${keys('WORK')}`),
  inCredentials(
    'empty keys are never the instance',
    '[default]\naws_access_key_id =\naws_secret_access_key =\n',
    undefined,
    {
      code: 'PROFILE_INVALID',
      differs: 'the AWS CLI signs with the empty key',
    },
  ),
  inConfig(
    'a key that continues',
    '[default]\naws_access_key_id = A\n  aws_secret_access_key = s\n',
    undefined,
    {
      code: 'PROFILE_INVALID',
    },
  ),
  inProfile('two spaces before the name', `[profile  work]\n${keys('WORK')}`, 'work'),
  inProfile('a name in quotes', `[profile "my work"]\n${keys('WORK')}`, 'my work'),
  inProfile('a name in single quotes', `[profile 'my work']\n${keys('WORK')}`, 'my work'),
  inProfile('a name that is not ASCII', `[profile büro]\n${keys('WORK')}`, 'büro'),
  inProfile('a name with punctuation', `[profile a,b~c!d*e(f)]\n${keys('WORK')}`, 'a,b~c!d*e(f)'),
  inConfig(
    'of two sections for the default profile the last counts',
    `[profile default]\n${keys('OTHER')}[default]\n${keys('WORK')}`,
    'WORK',
  ),
  inConfig(
    'the section DEFAULT counts in all profiles',
    `[DEFAULT]\n${keys('WORK')}[default]\nregion = eu-west-1\n`,
    'WORK',
  ),
  inConfig(
    'a nested key is not a key of the profile',
    `[default]\ns3 =\n  aws_access_key_id = OTHER\n${keys('WORK')}`,
    'WORK',
  ),
  inConfig(
    'a process with a semicolon',
    `[default]\ncredential_process = sh -c 'x=1 ; echo "${json('WORK')}"'\n`,
    'WORK',
  ),
  inConfig(
    'a process on two lines',
    `[default]\ncredential_process = sh -c\n  'echo "${json('WORK')}"'\n`,
    'WORK',
  ),
  inConfig(
    'a process that writes much to stderr',
    `[default]\ncredential_process = sh -c 'head -c 3000000 /dev/zero >&2; echo "${json('WORK')}"'\n`,
    'WORK',
  ),
  inConfig(
    'a process that reads its stdin',
    `[default]\ncredential_process = sh -c 'cat; echo "${json('WORK')}"'\n`,
    'WORK',
    { differs: 'the AWS CLI lets it read the stdin of the command, which may be the image here' },
  ),
  inConfig('a process that prints null', '[default]\ncredential_process = echo null\n', undefined, {
    code: 'CREDENTIALS_FAILED',
  }),
  inConfig(
    'the keys of a source profile go before its role',
    `[default]\n${role('work')}source_profile = keys\n[profile keys]\n${role('denied')}source_profile = other\n${keys('KEYS')}[profile other]\n${keys('OTHER')}`,
    'WORK',
  ),
  {
    name: 'an empty web identity token',
    env: {
      ...instance,
      AWS_WEB_IDENTITY_TOKEN_FILE: 'HOME/token',
      AWS_ROLE_ARN: 'arn:aws:iam::111122223333:role/web',
    },
    files: { token: '\n' },
    key: undefined,
    code: 'CREDENTIALS_FAILED',
  },
  {
    name: 'a container token with a line break',
    env: { AWS_CONTAINER_CREDENTIALS_FULL_URI: 'URL/container', AWS_CONTAINER_AUTHORIZATION_TOKEN: 'a\nb' },
    key: undefined,
    code: 'CREDENTIALS_FAILED',
  },
];
