/** Whether a new snapshot is encrypted, and with which key, as the user guide's table says. */

import { invalidParameter, validation } from '../errors.ts';
import type { Settings } from '../settings.ts';
import type { Snapshot } from '../snapshot.ts';
import type { StartInput } from './start-input.ts';

export interface Encryption {
  encrypted: boolean;
  kmsKeyArn?: string;
}

/** @throws ServiceError for an invalid combination or an unknown key */
export function checkEncryption(
  settings: Settings,
  input: StartInput,
  parent: Snapshot | undefined,
): Encryption {
  const { Encrypted, KmsKeyArn } = input;
  if (parent !== undefined) {
    if (Encrypted !== undefined)
      throw invalidParameter('Encrypted and ParentSnapshotId cannot be given together.');
    if (KmsKeyArn !== undefined)
      throw invalidParameter('KmsKeyArn and ParentSnapshotId cannot be given together.');
    const { encrypted, kmsKeyArn } = parent.metadata;
    if (!encrypted && settings.encryptedByDefault) {
      throw invalidParameter('Encryption by default is enabled, and the parent snapshot is not encrypted.');
    }
    return kmsKeyArn === undefined ? { encrypted } : { encrypted, kmsKeyArn };
  }
  if (KmsKeyArn !== undefined) {
    if (Encrypted === false || (Encrypted === undefined && !settings.encryptedByDefault)) {
      throw invalidParameter('KmsKeyArn requires Encrypted to be true.');
    }
    checkKey(settings, KmsKeyArn);
    return { encrypted: true, kmsKeyArn: KmsKeyArn };
  }
  if (Encrypted === false && settings.encryptedByDefault) {
    throw invalidParameter('Encryption by default is enabled: unencrypted snapshots cannot be created.');
  }
  if (Encrypted === true || settings.encryptedByDefault) {
    return { encrypted: true, kmsKeyArn: defaultKey(settings) };
  }
  return { encrypted: false };
}

function checkKey(settings: Settings, arn: string): void {
  const keyRegion = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):\d{12}:key\/[A-Za-z0-9-]+$/.exec(arn)?.[1];
  if (settings.regionGiven && keyRegion !== undefined && keyRegion !== settings.region) {
    throw validation('INVALID_CUSTOMER_KEY', `The KMS key '${arn}' is not in ${settings.region}.`);
  }
  const known = settings.knownKmsKeys?.includes(arn) ?? true;
  if (keyRegion === undefined || !known) {
    throw validation('INVALID_CUSTOMER_KEY', `The KMS key '${arn}' does not exist or cannot be used.`);
  }
}

/** The account's default key for EBS. */
export function defaultKey(settings: Settings): string {
  return `arn:aws:kms:${settings.region}:${settings.accountId}:key/00000000-0000-4000-8000-000000000000`;
}
