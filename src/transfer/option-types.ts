/** The types of the options, for callers without TypeScript. Ranges are checked where an option is used. */
import { badChoice, badOption } from '../image/messages/common.ts';
import type {
  CopyOptions,
  Deadlines,
  DownloadOptions,
  ListOptions,
  UploadOptions,
  VerifyOptions,
  WaitOptions,
} from './options.ts';
import type { DiffOptions, InfoOptions, PlannedDeletionOptions } from './reports.ts';
import type { DownloadToTargetsOptions } from './several-targets.ts';

type AnyOptions =
  | CopyOptions
  | DiffOptions
  | DownloadOptions
  | DownloadToTargetsOptions
  | InfoOptions
  | ListOptions
  | PlannedDeletionOptions
  | UploadOptions
  | VerifyOptions
  | WaitOptions;
type Names<Options> = Options extends unknown ? keyof Options : never;
type Name = Names<AnyOptions> | keyof Deadlines;

// The system ends a path at a NUL.
const string = (value: unknown) => typeof value === 'string' && !value.includes('\0');
const number = (value: unknown) => typeof value === 'number';
const boolean = (value: unknown) => typeof value === 'boolean';
const callback = (value: unknown) => typeof value === 'function';
const object = (value: unknown) => typeof value === 'object' && value !== null && !Array.isArray(value);
const stream = (value: unknown) => object(value) && typeof (value as { pipe?: unknown }).pipe === 'function';
// A spread array has no holes, which every() would skip.
const array = (test: (part: unknown) => boolean) => (value: unknown) =>
  Array.isArray(value) && [...value].every(test);
// A filter needs no value.
const tag = (given: unknown) => {
  const { key, value = '' } = (given ?? {}) as { key?: unknown; value?: unknown };
  return string(key) && string(value);
};
const client = (value: unknown) => {
  if (!object(value)) return false;
  const { config, send } = value as { config?: unknown; send?: unknown };
  return object(config) && callback(send);
};

const types = {
  string: { test: string, what: 'a string' },
  number: { test: number, what: 'a number' },
  boolean: { test: boolean, what: 'true or false' },
  callback: { test: callback, what: 'a function' },
  object: { test: object, what: 'an object' },
  client: { test: client, what: 'a client of the AWS SDK' },
  strings: { test: array(string), what: 'an array of strings' },
  tags: { test: array(tag), what: 'an array of objects with a key and a value, both strings' },
  image: { test: (value: unknown) => string(value) || stream(value), what: 'a path or a stream' },
  wait: { test: (value: unknown) => boolean(value) || object(value), what: 'true, false or an object' },
  signal: { test: (value: unknown) => value instanceof AbortSignal, what: 'an AbortSignal' },
} as const;

/** The compiler rejects a table that lacks an option. */
const optionTypes: Readonly<Record<Name, keyof typeof types>> = {
  region: 'string',
  profile: 'string',
  endpoint: 'string',
  ebsEndpoint: 'string',
  ec2Endpoint: 'string',
  checkpointFile: 'string',
  snapshotId: 'string',
  since: 'string',
  transport: 'string',
  sourceFormat: 'string',
  description: 'string',
  kmsKeyId: 'string',
  parentSnapshotId: 'string',
  holesFromSidecar: 'string',
  onFailure: 'string',
  base: 'string',
  saveDigests: 'string',
  desiredStatus: 'string',
  first: 'string',
  second: 'string',
  retryForMs: 'number',
  workers: 'number',
  bytesPerSecond: 'number',
  checkpointIntervalMs: 'number',
  volumeSizeGiB: 'number',
  successesRequired: 'number',
  maxAttempts: 'number',
  secondsBetweenAttempts: 'number',
  timeoutMs: 'number',
  connectMs: 'number',
  idleMs: 'number',
  samplePercent: 'number',
  mapCells: 'number',
  checkpoint: 'boolean',
  keepCheckpoint: 'boolean',
  fresh: 'boolean',
  force: 'boolean',
  verify: 'boolean',
  sha256: 'boolean',
  trustBase: 'boolean',
  verifyBase: 'boolean',
  encrypted: 'boolean',
  omitZeroBlocks: 'boolean',
  detectHoles: 'boolean',
  incremental: 'boolean',
  copyTags: 'boolean',
  skipUnlisted: 'boolean',
  readLayout: 'boolean',
  dryRun: 'boolean',
  mfaCode: 'callback',
  onEvent: 'callback',
  onResult: 'callback',
  onRange: 'callback',
  deadlines: 'object',
  ebsClient: 'client',
  ec2Client: 'client',
  to: 'object',
  targets: 'strings',
  snapshotIds: 'strings',
  tags: 'tags',
  source: 'image',
  target: 'image',
  wait: 'wait',
  signal: 'signal',
};

/** The values of options that have few. */
const choices: { readonly [Key in Name]?: readonly string[] } = {
  transport: ['fast', 'sdk'],
  sourceFormat: ['raw'],
  onFailure: ['keep', 'delete'],
};

/** Options that have options of their own. */
const nested: ReadonlySet<string> = new Set<Name>(['deadlines', 'to', 'wait']);

/**
 * Checks every option that is known and not undefined. Others are ignored, as by Node.js.
 *
 * @param required options that must be given
 * @returns a copy, so that the caller may change the options for its next call while this one runs
 * @throws ColdsnapError class `usage`, code `BAD_OPTION`
 */
export function takeOptions<Options extends AnyOptions>(
  given: Options,
  ...required: Names<AnyOptions>[]
): Options {
  if (!object(given)) throw badOption('the options', 'an object', given);
  return take(given, '', required) as Options;
}

function take(given: object, prefix: string, required: readonly string[] = []): object {
  const taken: Record<string, unknown> = {};
  for (const [name, type] of Object.entries(optionTypes) as [Name, keyof typeof types][]) {
    const value = (given as Readonly<Record<string, unknown>>)[name];
    if (value === undefined && !required.includes(name)) continue;
    if (!types[type].test(value)) throw badOption(`${prefix}${name}`, types[type].what, value);
    const known = choices[name];
    if (known !== undefined && !known.includes(value as string))
      throw badChoice(`${prefix}${name}`, known, value as string);
    if (Array.isArray(value))
      taken[name] = value.map((part: unknown) => (object(part) ? { ...(part as object) } : part));
    else taken[name] = object(value) && nested.has(name) ? take(value as object, `${name}.`) : value;
  }
  return taken;
}
