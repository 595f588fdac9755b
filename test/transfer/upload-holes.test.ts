/** Holes are skipped only where that is right: where they are holes, and where nothing reads as zeros. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, utimesSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { uploadSnapshot } from '../../src/index.ts';
import { needsLoop, run, Scratch } from '../support/loop.ts';
import { recorder, scratch, startService } from '../support/service.ts';

const BLOCK = 65_536;
const COUNT = 8;
/** The image has data here, and holes elsewhere. */
const DATA = [1, 5];
const ALL = Array.from({ length: COUNT }, (_, index) => index);

function sparseImage(path: string): string {
  const file = openSync(path, 'w');
  ftruncateSync(file, COUNT * BLOCK);
  for (const block of DATA) writeSync(file, randomBytes(BLOCK), 0, BLOCK, block * BLOCK);
  closeSync(file);
  return path;
}

function writeMap(path: string, data: readonly number[]): string {
  const entries = ALL.map((block) => {
    const isData = data.includes(block);
    return { start: block * BLOCK, length: BLOCK, zero: !isData, data: isData };
  });
  writeFileSync(path, JSON.stringify(entries));
  return path;
}

const holeOptions = (directory: string) =>
  [
    ['detected', { detectHoles: true }],
    ['from a map', { holesFromSidecar: writeMap(join(directory, 'map.json'), DATA) }],
  ] as const;

test('puts holes as zeros into an encrypted snapshot, and says so once', async (t) => {
  const byDefault = await startService(t, { blockSize: BLOCK, encryptedByDefault: true });
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const source = sparseImage(join(directory, 'disk.img'));
  for (const [holes, options] of holeOptions(directory)) {
    for (const [how, server, encryption] of [
      ['asked for', { emulator, service }, { encrypted: true }],
      [
        'with a key',
        { emulator, service },
        { kmsKeyId: 'arn:aws:kms:us-east-1:111122223333:key/00000000-0000-0000-0000-000000000001' },
      ],
      ['by default', byDefault, {}],
    ] as const) {
      const { events, onEvent } = recorder();
      const { snapshotId } = await uploadSnapshot({
        source,
        onEvent,
        ...server.service,
        ...options,
        ...encryption,
      });
      assert.deepEqual(server.emulator.snapshot(snapshotId)?.writtenBlocks, ALL, `${holes}, ${how}`);
      const warnings = events.flatMap((event) => (event.type === 'warning' ? [event] : []));
      assert.deepEqual(
        warnings.map(({ code }) => code),
        ['HOLES_PUT'],
      );
      assert.match(warnings[0]!.message, /encrypted.*holes are uploaded as zeros/);
    }
  }
});

test('skips holes in a snapshot that is not encrypted, without a warning', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const source = sparseImage(join(directory, 'disk.img'));
  for (const [, options] of holeOptions(directory)) {
    const { events, onEvent } = recorder();
    const { snapshotId } = await uploadSnapshot({ source, onEvent, ...service, ...options });
    assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, DATA);
    assert.ok(!events.some((event) => event.type === 'warning'));
  }
});

test('refuses a map that calls data a hole, and deletes the snapshot', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const source = sparseImage(join(directory, 'disk.img'));
  const holesFromSidecar = writeMap(join(directory, 'map.json'), [1]);
  await assert.rejects(uploadSnapshot({ source, holesFromSidecar, ...service }), {
    class: 'refused',
    code: 'HOLE_MAP_WRONG',
    message: /map\.json.*disk\.img.*data at offset 327680/,
  });
  assert.equal(emulator.requests('CompleteSnapshot').length, 0);
  assert.equal(emulator.requests('DeleteSnapshot').length, 1);
});

test('says when the wrong map is older than the image', async (t) => {
  const { service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const source = sparseImage(join(directory, 'disk.img'));
  const holesFromSidecar = writeMap(join(directory, 'map.json'), [1]);
  utimesSync(holesFromSidecar, 1, 1);
  await assert.rejects(uploadSnapshot({ source, holesFromSidecar, ...service }), {
    code: 'HOLE_MAP_WRONG',
    message: /the map is older than the image/,
  });
});

test('skips written zeros that a map calls a hole, after reading them', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const source = join(directory, 'disk.img');
  writeFileSync(
    source,
    Buffer.concat(ALL.map((at) => (DATA.includes(at) ? randomBytes(BLOCK) : Buffer.alloc(BLOCK)))),
  );
  const holesFromSidecar = writeMap(join(directory, 'map.json'), DATA);
  const { snapshotId } = await uploadSnapshot({ source, holesFromSidecar, ...service });
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, DATA);
});

test('reads what a map calls a hole on a device', needsLoop, async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const place = await Scratch.for(t);
  const { device } = await place.loop({ bytes: COUNT * BLOCK });
  for (const block of DATA)
    await run(
      'dd',
      'if=/dev/urandom',
      `of=${device}`,
      `bs=${BLOCK}`,
      'count=1',
      `seek=${block}`,
      'conv=fsync',
    );
  const options = { source: device, checkpoint: false, ...service };
  const holesFromSidecar = writeMap(place.path('map.json'), DATA);
  const { snapshotId } = await uploadSnapshot({ ...options, holesFromSidecar });
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, DATA);
  writeMap(holesFromSidecar, [5]);
  await assert.rejects(uploadSnapshot({ ...options, holesFromSidecar }), { code: 'HOLE_MAP_WRONG' });
});

test('does not resume an upload whose hole map has changed', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const source = sparseImage(join(directory, 'disk.img'));
  const holesFromSidecar = writeMap(join(directory, 'map.json'), DATA);
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  emulator.setFaults([{ operation: 'PutSnapshotBlock', block: 5, action }]);
  await assert.rejects(uploadSnapshot({ source, holesFromSidecar, ...service }), { code: 'ACCESS_DENIED' });
  emulator.setFaults([]);
  writeMap(holesFromSidecar, [0, ...DATA]);
  const { events, onEvent } = recorder();
  const { snapshotId } = await uploadSnapshot({ source, holesFromSidecar, onEvent, ...service });
  assert.equal(emulator.requests('StartSnapshot').length, 2);
  assert.ok(events.some((event) => event.type === 'warning' && event.code === 'JOURNAL_NOT_USED'));
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, [0, ...DATA]);
});

test('resumes an upload whose hole map has only moved', async (t) => {
  const { emulator, service } = await startService(t, { blockSize: BLOCK });
  const directory = scratch(t);
  const source = sparseImage(join(directory, 'disk.img'));
  const first = writeMap(join(directory, 'map.json'), DATA);
  const action = { type: 'error', status: 403, code: 'AccessDeniedException' } as const;
  emulator.setFaults([{ operation: 'PutSnapshotBlock', block: 5, action }]);
  await assert.rejects(uploadSnapshot({ source, holesFromSidecar: first, ...service }), {
    code: 'ACCESS_DENIED',
  });
  emulator.setFaults([]);
  const { snapshotId } = await uploadSnapshot({
    source,
    holesFromSidecar: writeMap(join(directory, 'moved.json'), DATA),
    ...service,
  });
  assert.deepEqual(emulator.snapshot(snapshotId)?.writtenBlocks, DATA);
  assert.equal(new Set(emulator.requests('StartSnapshot').map((request) => request.snapshotId)).size, 1);
});
