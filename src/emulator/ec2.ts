/** The EC2 operations on snapshots: query protocol in, XML out. API version 2016-11-15. */

import { ServiceError } from './errors.ts';
import { checkTags } from './operations/start-input.ts';
import { type Reply, xmlReply } from './reply.ts';
import type { Service } from './service.ts';
import { isSnapshotId, type Snapshot } from './snapshot.ts';
import { element, textElement, xmlDocument } from './xml.ts';

const VERSION = '2016-11-15';
const NAMESPACE = `http://ec2.amazonaws.com/doc/${VERSION}/`;

/** Executes the form's Action. @throws ServiceError */
export function ec2Operation(service: Service, form: URLSearchParams, requestId: string): Reply {
  const action = form.get('Action');
  const operation = operations.get(action ?? '');
  if (operation === undefined || form.get('Version') !== VERSION) {
    throw new ServiceError(400, 'InvalidAction', `The action ${action} is not valid for this web service.`);
  }
  if (form.get('DryRun') === 'true') {
    throw new ServiceError(412, 'DryRunOperation', 'Request would have succeeded, but DryRun flag is set.');
  }
  const children = operation(service, form);
  const root = `${action}Response`;
  return xmlReply(200, xmlDocument(root, NAMESPACE, textElement('requestId', requestId), ...children));
}

/** The Action of a form, for routing; `Unknown` if it is not implemented. */
export function ec2Action(form: URLSearchParams): string {
  const action = form.get('Action') ?? '';
  return operations.has(action) ? action : 'Unknown';
}

/** The snapshot that a form names first, for the log and for faults. */
export function ec2SnapshotId(form: URLSearchParams): string | undefined {
  return form.get('SnapshotId') ?? form.get('SnapshotId.1') ?? form.get('ResourceId.1') ?? undefined;
}

const operations = new Map<string, (service: Service, form: URLSearchParams) => string[]>([
  ['DescribeSnapshots', describeSnapshots],
  ['DeleteSnapshot', deleteSnapshot],
  ['CreateTags', createTags],
]);

function describeSnapshots(service: Service, form: URLSearchParams): string[] {
  const ids = members(form, 'SnapshotId');
  const maxText = form.get('MaxResults');
  const max = maxText === null ? 1000 : Number(maxText);
  if (!/^\d+$/.test(maxText ?? '5') || max < 5) {
    throw new ServiceError(
      400,
      'InvalidParameterValue',
      `Value (${maxText}) for parameter MaxResults is invalid.`,
    );
  }
  if (ids.length > 0 && maxText !== null) {
    const message = 'The parameter MaxResults cannot be used with the parameter snapshotSet';
    throw new ServiceError(400, 'InvalidParameterCombination', message);
  }
  const now = service.settings.now();
  const chosen =
    ids.length > 0
      ? ids.map((id) => visibleSnapshot(service, id))
      : service.store
          .all()
          .filter(({ metadata }) => now - metadata.startTime >= service.settings.notVisibleMs);
  const owners = members(form, 'Owner');
  const wanted = chosen
    .filter(
      ({ metadata }) =>
        owners.length === 0 || owners.some((owner) => owner === 'self' || owner === metadata.ownerId),
    )
    .filter(filterOf(form));
  const from = readNextToken(service, form);
  const page = wanted.slice(from, from + Math.min(max, 1000));
  const next = from + page.length;
  return [
    element('snapshotSet', ...page.map((snapshot) => describe(service, snapshot))),
    ...(next < wanted.length ? [textElement('nextToken', nextToken(service, next))] : []),
  ];
}

function deleteSnapshot(service: Service, form: URLSearchParams): string[] {
  const id = form.get('SnapshotId');
  if (id === null) throw missing('snapshotId');
  service.store.delete(visibleSnapshot(service, id).id);
  return [textElement('return', true)];
}

function createTags(service: Service, form: URLSearchParams): string[] {
  const ids = members(form, 'ResourceId');
  if (ids.length === 0) throw missing('resourceIdSet');
  const tags: { Key: string; Value: string }[] = [];
  for (let n = 1; form.has(`Tag.${n}.Key`); n++) {
    tags.push({ Key: form.get(`Tag.${n}.Key`) as string, Value: form.get(`Tag.${n}.Value`) ?? '' });
  }
  if (tags.length === 0) throw missing('tagSet');
  const snapshots = ids.map((id) => visibleSnapshot(service, id));
  const changes = snapshots.map(({ metadata }) => {
    const merged = new Map(metadata.tags.map(({ key, value }) => [key, value]));
    for (const { Key, Value } of tags) merged.set(Key, Value);
    return [...merged].map(([Key, Value]) => ({ Key, Value }));
  });
  try {
    for (const merged of [tags, ...changes]) checkTags(merged);
  } catch (error) {
    const code =
      error instanceof ServiceError && error.message.includes('at most 50')
        ? 'TagLimitExceeded'
        : 'InvalidParameterValue';
    throw new ServiceError(400, code, (error as Error).message);
  }
  snapshots.forEach((snapshot, at) => {
    snapshot.metadata.tags = changes[at]!.map(({ Key, Value }) => ({ key: Key, value: Value }));
    snapshot.save();
  });
  return [textElement('return', true)];
}

function visibleSnapshot(service: Service, id: string): Snapshot {
  if (!isSnapshotId(id)) {
    throw new ServiceError(400, 'InvalidSnapshotID.Malformed', `Invalid id: "${id}" (expecting "snap-...")`);
  }
  const snapshot = service.store.get(id);
  const { now, notVisibleMs, region } = service.settings;
  if (snapshot === undefined || now() - snapshot.metadata.startTime < notVisibleMs) {
    throw new ServiceError(
      400,
      'InvalidSnapshot.NotFound',
      `The snapshot '${id}' does not exist in ${region}.`,
    );
  }
  return snapshot;
}

function describe(service: Service, { metadata }: Snapshot): string {
  const { status, completion } = metadata;
  let progress = status === 'completed' ? '100%' : '0%';
  if (status === 'pending' && completion !== undefined) {
    const { now, completionDelayMs } = service.settings;
    const share = (now() - completion.requestedAt) / Math.max(1, completionDelayMs);
    progress = `${Math.max(0, Math.min(99, Math.floor(share * 100)))}%`;
  }
  return element(
    'item',
    textElement('snapshotId', metadata.id),
    textElement('volumeId', 'vol-ffffffff'),
    textElement('status', status),
    ...(metadata.statusMessage === undefined ? [] : [textElement('statusMessage', metadata.statusMessage)]),
    textElement('startTime', new Date(metadata.startTime).toISOString()),
    textElement('progress', progress),
    textElement('ownerId', metadata.ownerId),
    textElement('volumeSize', metadata.volumeSizeGiB),
    textElement('description', metadata.description ?? ''),
    textElement('encrypted', metadata.encrypted),
    ...(metadata.kmsKeyArn === undefined ? [] : [textElement('kmsKeyId', metadata.kmsKeyArn)]),
    element(
      'tagSet',
      ...metadata.tags.map(({ key, value }) =>
        element('item', textElement('key', key), textElement('value', value)),
      ),
    ),
    textElement('storageTier', 'standard'),
  );
}

function filterOf(form: URLSearchParams): (snapshot: Snapshot) => boolean {
  const filters: ((snapshot: Snapshot) => boolean)[] = [];
  for (let n = 1; form.has(`Filter.${n}.Name`); n++) {
    const name = form.get(`Filter.${n}.Name`) as string;
    const patterns = members(form, `Filter.${n}.Value`).map(wildcard);
    const valuesOf = filterValues(name);
    filters.push((snapshot) =>
      valuesOf(snapshot).some((value) => patterns.some((pattern) => pattern.test(value))),
    );
  }
  return (snapshot) => filters.every((filter) => filter(snapshot));
}

/** The values that a filter compares with its patterns. */
function filterValues(name: string): (snapshot: Snapshot) => string[] {
  if (name.startsWith('tag:')) {
    const wanted = name.slice('tag:'.length);
    return ({ metadata }) => metadata.tags.filter(({ key }) => key === wanted).map(({ value }) => value);
  }
  switch (name) {
    case 'status':
      return ({ metadata }) => [metadata.status];
    case 'tag-key':
      return ({ metadata }) => metadata.tags.map(({ key }) => key);
    case 'snapshot-id':
      return ({ metadata }) => [metadata.id];
    case 'volume-size':
      return ({ metadata }) => [String(metadata.volumeSizeGiB)];
    default:
      throw new ServiceError(400, 'InvalidParameterValue', `The filter '${name}' is invalid`);
  }
}

/** EC2's filter wildcards `*` and `?` as a regular expression. */
function wildcard(text: string): RegExp {
  const source = text
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.');
  return new RegExp(`^${source}$`, 's');
}

function nextToken(service: Service, from: number): string {
  const position = { scope: 'DescribeSnapshots', nextBlock: from, emptyPages: 0 };
  return service.tokens.mintPageToken(position, service.settings.now() + service.settings.pageTokenLifeMs);
}

function readNextToken(service: Service, form: URLSearchParams): number {
  const token = form.get('NextToken');
  if (token === null || token === '') return 0;
  const position = service.tokens.readPageToken(token, 'DescribeSnapshots', service.settings.now());
  if (typeof position === 'string') {
    throw new ServiceError(400, 'InvalidParameterValue', 'Unable to parse pagination token');
  }
  return position.nextBlock;
}

/** The values of `Name.1`, `Name.2` … */
function members(form: URLSearchParams, name: string): string[] {
  const values: string[] = [];
  for (let n = 1; form.has(`${name}.${n}`); n++) values.push(form.get(`${name}.${n}`) as string);
  return values;
}

function missing(name: string): ServiceError {
  return new ServiceError(400, 'MissingParameter', `The request must contain the parameter ${name}`);
}
