/** Parses and validates the JSON body of StartSnapshot. */

import { invalidParameter, type ServiceError, validation } from '../errors.ts';

export interface StartInput {
  VolumeSize: number;
  Description?: string;
  Tags?: { Key: string; Value: string }[];
  ParentSnapshotId?: string;
  Encrypted?: boolean;
  KmsKeyArn?: string;
  ClientToken?: string;
  Timeout?: number;
}

/** Returns the members in a fixed order, so that equal requests have equal JSON. @throws ServiceError */
export function readStartInput(body: Buffer): StartInput {
  const json = parseObject(body);
  const input: StartInput = {
    VolumeSize: wholeMember(json, 'VolumeSize', 1, 65_536, validation.bind(null, 'INVALID_VOLUME_SIZE')) ?? 0,
  };
  if (input.VolumeSize === 0) throw validation('INVALID_VOLUME_SIZE', 'VolumeSize is required.');
  const description = stringMember(json, 'Description', 0, 255);
  if (description !== undefined) input.Description = description;
  const tags = readTags(json.Tags);
  if (tags !== undefined) input.Tags = tags;
  const parent = stringMember(json, 'ParentSnapshotId', 1, 64);
  if (parent !== undefined) input.ParentSnapshotId = parent;
  const { Encrypted } = json;
  if (Encrypted !== undefined && Encrypted !== null) {
    if (typeof Encrypted !== 'boolean') throw invalidParameter('Encrypted must be true or false.');
    input.Encrypted = Encrypted;
  }
  const key = stringMember(json, 'KmsKeyArn', 1, 2048);
  if (key !== undefined) input.KmsKeyArn = key;
  const token = stringMember(json, 'ClientToken', 1, 64);
  if (token !== undefined) {
    if (!/^[\x20-\x7e]+$/.test(token)) throw invalidParameter('ClientToken must be printable ASCII.');
    input.ClientToken = token;
  }
  const timeout = wholeMember(json, 'Timeout', 10, 4320, invalidParameter);
  if (timeout !== undefined) input.Timeout = timeout;
  return input;
}

function parseObject(body: Buffer): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(body.toString('utf8'));
    if (typeof json === 'object' && json !== null && !Array.isArray(json))
      return json as Record<string, unknown>;
  } catch {
    // Rejected below, as JSON that is not an object.
  }
  throw invalidParameter('The request body is not a JSON object.');
}

function wholeMember(
  json: Record<string, unknown>,
  name: string,
  least: number,
  most: number,
  refuse: (message: string) => ServiceError,
): number | undefined {
  const value = json[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw refuse(`${name} must be a whole number from ${least} to ${most}.`);
  }
  return value;
}

function stringMember(
  json: Record<string, unknown>,
  name: string,
  least: number,
  most: number,
): string | undefined {
  const value = json[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value !== 'string' || value.length < least || value.length > most) {
    throw invalidParameter(`${name} must be a string of ${least} to ${most} characters.`);
  }
  return value;
}

function readTags(value: unknown): { Key: string; Value: string }[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw validation('INVALID_TAG', 'Tags must be an array.');
  const tags = value.map((tag: { Key?: unknown; Value?: unknown } | null) => ({
    Key: tag?.Key,
    Value: tag?.Value ?? '',
  }));
  checkTags(tags);
  return tags as { Key: string; Value: string }[];
}

/** @throws ServiceError (INVALID_TAG) if there are too many tags, or one is too long, reserved or given twice */
export function checkTags(tags: readonly { Key: unknown; Value: unknown }[]): void {
  if (tags.length > 50) throw validation('INVALID_TAG', 'A snapshot can have at most 50 tags.');
  const keys = new Set<string>();
  for (const { Key, Value } of tags) {
    if (typeof Key !== 'string' || Key.length < 1 || Key.length > 127) {
      throw validation('INVALID_TAG', 'A tag key must have 1 to 127 characters.');
    }
    if (typeof Value !== 'string' || Value.length > 255) {
      throw validation('INVALID_TAG', 'A tag value must have at most 255 characters.');
    }
    if (/^aws:/i.test(Key)) throw validation('INVALID_TAG', `The tag key '${Key}' is reserved.`);
    if (keys.has(Key)) throw validation('INVALID_TAG', `The tag key '${Key}' is given twice.`);
    keys.add(Key);
  }
}
