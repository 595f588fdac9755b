/** Validates credentials. Messages name keys and members, never values. */

import { ColdsnapError } from '../errors.ts';
import type { EmulatorSecret } from './options.ts';

/**
 * The secrets by access key ID. A Map, because an access key ID may be a name such as `constructor`.
 *
 * @throws ColdsnapError (`usage`, `BAD_CREDENTIALS`) naming the invalid entry
 */
export function parseCredentials(json: unknown): Map<string, EmulatorSecret> {
  const entries = membersOf(json);
  if (entries === undefined || entries.length === 0) {
    throw refusal('the credentials must be an object with access key IDs as keys');
  }
  return new Map(entries.map(([id, value]) => [id, readSecret(id, value)]));
}

function readSecret(id: string, value: unknown): EmulatorSecret {
  if (!/^\w{1,128}$/.test(id)) {
    throw refusal('an access key ID must have 1 to 128 letters, digits and underscores');
  }
  const members = new Map(membersOf(value));
  for (const [name, member] of members) {
    // Credentials as the SDK has them repeat the ID.
    if (name === 'accessKeyId' && member === id) continue;
    if (name !== 'secretAccessKey' && name !== 'sessionToken') {
      throw refusal(`the credentials of ${id} can have secretAccessKey and sessionToken only`);
    }
    if (typeof member !== 'string' || member === '') {
      throw refusal(`the ${name} of ${id} must be a string that is not empty`);
    }
  }
  const secretAccessKey = members.get('secretAccessKey');
  const sessionToken = members.get('sessionToken');
  if (typeof secretAccessKey !== 'string') throw refusal(`the credentials of ${id} have no secretAccessKey`);
  return { secretAccessKey, ...(typeof sessionToken === 'string' ? { sessionToken } : {}) };
}

/** The members of an object that are not undefined; undefined if the value is not an object. */
function membersOf(value: unknown): [string, unknown][] | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  return Object.entries(value).filter(([, member]) => member !== undefined);
}

function refusal(message: string): ColdsnapError {
  return new ColdsnapError('usage', 'BAD_CREDENTIALS', message, {
    hint: 'Credentials look like {"AKIDEXAMPLE": {"secretAccessKey": "…", "sessionToken": "…"}}.',
  });
}
