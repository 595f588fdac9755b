/**
 * Round trips with moto_server (in MOTO_SERVER), an independent implementation of the EBS direct APIs. It is laxer than the
 * service: blocks of 512 bytes, no checks, no pages, no client tokens, and a list in the order in which blocks were put.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pipeline } from 'node:stream/promises';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { EBSClient, PutSnapshotBlockCommand, StartSnapshotCommand } from '@aws-sdk/client-ebs';
import { bytesAt, firstWrongBlock, GIB, uploadJournal } from '../support/service.ts';
import { ours } from '../support/workplace.ts';

const server = process.env.MOTO_SERVER ?? '';
const needsMoto = {
  skip: server === '' && 'no moto_server: give its path in MOTO_SERVER, or run npm run test:moto',
};
const MOTO_BLOCK = 512;

let directory = '';
const path = (name: string) => join(directory, name);
let moto: ChildProcess | undefined;
let endpoint = '';

/** Starts coldsnap against moto, which lists blocks in the order in which they were put. */
function start(...args: string[]): ChildProcess {
  const [file, ...first] = ours.command;
  return spawn(file, [...first, '--endpoint', endpoint, '--region', 'us-east-1', ...args], {
    cwd: directory,
    env: { ...process.env, HOME: directory, XDG_STATE_HOME: directory },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

async function coldsnap(...args: string[]): Promise<{ exit: number; stdout: string; stderr: string }> {
  const child = start(...args);
  let stdout = '';
  let stderr = '';
  child.stdout!.on('data', (data) => {
    stdout += data;
  });
  child.stderr!.on('data', (data) => {
    stderr += data;
  });
  child.stdin!.end();
  const [exit] = await once(child, 'close');
  return { exit, stdout: stdout.trim(), stderr };
}

async function succeed(...args: string[]): Promise<string> {
  const { exit, stdout, stderr } = await coldsnap(...args);
  assert.equal(exit, 0, stderr);
  return stdout;
}

/** An image of data, written zeros and data, that ends in the middle of a block. */
function writeImage(name: string): Buffer {
  const image = Buffer.concat([randomBytes(20_000), Buffer.alloc(30_000), randomBytes(10_001)]);
  writeFileSync(path(name), image);
  return image;
}

/** Asserts that the file is a volume of 1 GiB that begins with the image. */
async function assertVolume(name: string, image: Buffer): Promise<void> {
  assert.ok(bytesAt(path(name), 0, image.length).equals(image), `${name} does not begin with the image`);
  const blocks = new Map<number, Buffer>();
  for (let at = 0; at < image.length; at += MOTO_BLOCK) {
    const block = Buffer.alloc(MOTO_BLOCK);
    image.copy(block, 0, at);
    blocks.set(at / MOTO_BLOCK, block);
  }
  assert.equal(await firstWrongBlock(path(name), blocks, GIB, MOTO_BLOCK), undefined);
}

describe('with moto_server', needsMoto, () => {
  before(async () => {
    directory = mkdtempSync(join(tmpdir(), 'coldsnap-moto-'));
    moto = spawn(server, ['-H', '127.0.0.1', '-p', '0'], { stdio: ['ignore', 'ignore', 'pipe'] });
    for await (const line of createInterface({ input: moto.stderr! })) {
      const url = /Running on (http:\/\/127\.0\.0\.1:\d+)/.exec(line)?.[1];
      if (url === undefined) continue;
      endpoint = url;
      break;
    }
    assert.notEqual(endpoint, '', 'moto_server did not start');
    moto.stderr!.resume();
  });

  after(async () => {
    moto?.kill();
    if (moto?.exitCode === null) await once(moto, 'exit');
    rmSync(directory, { recursive: true, force: true });
  });

  for (const zeros of [[], ['--omit-zero-blocks'], ['--detect-holes']]) {
    test(`an image is restored unchanged: upload ${zeros.join(' ')}`, async () => {
      const image = writeImage('source.img');
      const id = await succeed('upload', ...zeros, 'source.img');
      await succeed('download', '--force', id, 'copy.img');
      await assertVolume('copy.img', image);
    });
  }

  test('an upload with --wait is not pending afterwards', async () => {
    writeImage('source.img');
    const id = await succeed(
      'upload',
      '--wait',
      '--seconds-between-attempts',
      '0',
      '--tag',
      'a=b',
      'source.img',
    );
    assert.doesNotMatch(await succeed('pending'), new RegExp(id));
  });

  test('uploads from and downloads to pipes work', async () => {
    const image = writeImage('source.img');
    const upload = start('upload', '--volume-size', '1', '-');
    const id = upload.stdout!.toArray().then((chunks) => chunks.join('').trim());
    await pipeline(createReadStream(path('source.img')), upload.stdin!);
    const download = start('download', await id, '-');
    let length = 0;
    const beginning: Buffer[] = [];
    for await (const chunk of download.stdout!) {
      if (length < image.length) beginning.push(chunk);
      length += chunk.length;
    }
    assert.equal(length, GIB);
    assert.ok(Buffer.concat(beginning).subarray(0, image.length).equals(image));
  });

  test('a killed upload starts over with a warning, because moto ignores client tokens', async () => {
    const image = writeImage('killed.img');
    const child = start('upload', '--workers', '1', 'killed.img');
    const ended = once(child, 'exit');
    const journal = uploadJournal(path('killed.img'), { url: endpoint });
    while (!existsSync(journal) || !readFileSync(journal, 'utf8').includes('snap-')) await pause(5);
    child.kill('SIGKILL');
    await ended;
    const { exit, stdout: id, stderr } = await coldsnap('upload', 'killed.img');
    assert.equal(exit, 0, stderr);
    assert.match(
      stderr,
      /Ignoring the journal of an earlier upload \(its snapshot snap-\w+ no longer exists/,
    );
    await succeed('download', '--force', id, 'copy.img');
    await assertVolume('copy.img', image);
  });

  test('a list out of order is sorted', async () => {
    const client = new EBSClient({ endpoint, region: 'us-east-1' });
    const { SnapshotId } = await client.send(new StartSnapshotCommand({ VolumeSize: 1 }));
    for (const BlockIndex of [1, 0]) {
      const block = { BlockData: Buffer.alloc(MOTO_BLOCK, BlockIndex), DataLength: MOTO_BLOCK };
      const sum = { Checksum: 'x', ChecksumAlgorithm: 'SHA256' } as const;
      await client.send(new PutSnapshotBlockCommand({ SnapshotId, BlockIndex, ...block, ...sum }));
    }
    client.destroy();
    const { exit, stderr } = await coldsnap('download', '--retry-for', '1s', SnapshotId!, 'sorted.img');
    assert.equal(exit, 6, stderr);
    // These blocks have no valid checksum; the list was accepted.
    assert.match(stderr, /block \d/);
  });

  test('a block that does not match its checksum is an integrity failure', async () => {
    const client = new EBSClient({ endpoint, region: 'us-east-1' });
    const { SnapshotId } = await client.send(new StartSnapshotCommand({ VolumeSize: 1 }));
    const block = { BlockData: Buffer.alloc(MOTO_BLOCK, 1), DataLength: MOTO_BLOCK };
    const sum = {
      Checksum: 'B4VNL+8pega6gWheZgwzLeNtXRjVRpJ9MNqtbX/aFUE=',
      ChecksumAlgorithm: 'SHA256',
    } as const;
    await client.send(new PutSnapshotBlockCommand({ SnapshotId, BlockIndex: 0, ...block, ...sum }));
    client.destroy();
    const { exit, stderr } = await coldsnap('download', '--retry-for', '1s', SnapshotId!, 'wrong.img');
    assert.equal(exit, 6, stderr);
    assert.match(stderr, /block 0/);
    assert.ok(!existsSync(path('wrong.img')));
  });
});
