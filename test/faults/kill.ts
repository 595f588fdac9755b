/**
 * Kills transfers and runs them again. Wherever the first run is killed, the next exits with 0, the bytes are right, and
 * no block that the journal lists is requested or sent again. With another writer in between, the bytes are right too.
 */
import assert from 'node:assert/strict';
import { hash, randomBytes, randomInt } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { type Emulator, startEmulator } from '../../src/emulator/index.ts';
import { listPendingSnapshots } from '../../src/index.ts';
import { isZero } from '../../src/native/index.ts';
import { DigestReader } from '../../src/transfer/digests/reader.ts';
import { emptyDevice, type Scratch } from '../support/loop.ts';
import { bytesAt, firstWrongBlock, GIB, randomBlocks, uploadJournal } from '../support/service.ts';
import { type Command, type Ended, journalledBlocks } from './command.ts';

const BLOCK = 65_536;
const MIB = 2 ** 20;
const BLOCKS = 24;
const WORKERS = 4;
/** Blocks at the start, and one at the end, because both are checked for a blank disk. */
const indexes = [...Array.from({ length: BLOCKS - 1 }, (_, at) => at * 3), GIB / BLOCK - 1];

export const kinds = [
  'file',
  'device',
  'file and device',
  'upload',
  'incremental upload',
  'copy',
  'copy source',
  'incremental file',
  'incremental device',
] as const;

export type Kind = (typeof kinds)[number];

export const usesDevice = (kind: Kind): boolean => kind.endsWith('device');

/** When a run is killed: at the n-th request that the emulator receives, or at the n-th system call of a name. */
export type Moment = ({ readonly request: number } | { readonly call: string; readonly number: number }) & {
  /** Milliseconds between saves of the journal, 5 unless given. */
  readonly checkpointMs?: number;
};

export function describeMoment(moment: Moment): string {
  return 'request' in moment ? `request ${moment.request}` : `${moment.call} ${moment.number}`;
}

/** Overwrites a part of one of the blocks, as another program would. @returns the offset and data */
function meddle(path: string, blocks: readonly number[]): { offset: number; data: Buffer } {
  const block = blocks[randomInt(blocks.length)] as number;
  const offset = block * BLOCK + 4_096 * randomInt(BLOCK / 4_096);
  const data = randomBytes(4_096);
  const file = openSync(path, 'r+');
  writeSync(file, data, 0, data.length, offset);
  fsyncSync(file);
  closeSync(file);
  return { offset, data };
}

/** The journal in the state directory; a path without a file if there is none. */
function stateJournal({ stateDirectory }: Command, kind: 'progress' | 'upload'): string {
  const name = readdirSync(stateDirectory).find((entry) => entry.endsWith(`.coldsnap-${kind}`));
  return join(stateDirectory, name ?? 'none');
}

/** A transfer that can be run repeatedly, and the check of its result. */
export class Victim {
  readonly emulator: Emulator;
  readonly #command: Command;
  readonly #args: string[];
  readonly #operation: string;
  /** The blocks to transfer. */
  readonly #blocks: readonly number[];
  readonly #journals: () => readonly string[];
  readonly #check: (stdout: string) => Promise<void>;
  /** Writes to the target or source; undefined where there is nothing to write to. */
  readonly #meddle: () => unknown;
  readonly #onDevice: boolean;

  private constructor(
    emulator: Emulator,
    command: Command,
    args: readonly string[],
    blocks: Iterable<number>,
    journals: () => string | readonly string[],
    check: (stdout: string) => Promise<void>,
    meddle: () => unknown,
    onDevice = false,
    operation = args[0] === 'upload' ? 'PutSnapshotBlock' : 'GetSnapshotBlock',
  ) {
    this.emulator = emulator;
    this.#command = command;
    this.#args = ['--quiet', ...args, '--workers', String(WORKERS)];
    this.#operation = operation;
    this.#blocks = [...blocks];
    this.#journals = () => [journals()].flat();
    this.#check = check;
    this.#meddle = meddle;
    this.#onDevice = onDevice;
  }

  /** Makes a new one; its emulator closes with the scratch directory. `device` is a loop device of 1 GiB. */
  static async make(
    kind: Kind,
    command: Command,
    scratch: Scratch,
    device?: { device: string; backing: string },
  ): Promise<Victim> {
    const emulator = await startEmulator({ blockSize: BLOCK, pageSize: 10 });
    scratch.onEnd(() => emulator.close());
    if (kind.startsWith('copy')) return Victim.#copy(emulator, command, scratch, kind === 'copy source');
    const path = scratch.path(`${kind.replace(' ', '-')}-${randomBytes(4).toString('hex')}.img`);
    if (kind === 'incremental upload') return Victim.#incrementalUpload(emulator, command, path);
    if (kind.startsWith('incremental')) return Victim.#incremental(emulator, command, path, device);
    if (kind === 'upload') {
      const image = randomBytes(BLOCKS * BLOCK);
      const indexesOfImage = Array.from({ length: BLOCKS }, (_, block) => block);
      writeFileSync(path, image);
      return new Victim(
        emulator,
        command,
        ['upload', path],
        indexesOfImage,
        () => uploadJournal(path, emulator),
        async (stdout) => {
          const snapshotId = stdout.trim();
          assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
          assert.ok(bytesAt(await emulator.readImage(snapshotId), 0, image.length).equals(image));
        },
        () => {
          const { offset, data } = meddle(path, indexesOfImage);
          data.copy(image, offset);
        },
      );
    }
    const blocks = randomBlocks(indexes, [4], BLOCK);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    if (kind === 'file and device') {
      assert.ok(device);
      await emptyDevice(device);
      return new Victim(
        emulator,
        command,
        ['download', snapshotId, path, device.device],
        blocks.keys(),
        () => [`${path}.coldsnap-progress`, stateJournal(command, 'progress')],
        async () => {
          for (const image of [path, device.backing])
            assert.equal(await firstWrongBlock(image, blocks, GIB, BLOCK), undefined);
          rmSync(path);
        },
        () => {
          // An image that has its name already is whole: a change to it is not the download's to repair.
          if (existsSync(`${path}.partial`) && !existsSync(path)) meddle(`${path}.partial`, indexes);
          meddle(device.device, indexes);
        },
        true,
      );
    }
    if (kind === 'file') {
      return new Victim(
        emulator,
        command,
        ['download', snapshotId, path],
        blocks.keys(),
        () => `${path}.coldsnap-progress`,
        async () => {
          assert.equal(await firstWrongBlock(path, blocks, GIB, BLOCK), undefined);
          rmSync(path);
        },
        () => existsSync(`${path}.partial`) && meddle(`${path}.partial`, indexes),
      );
    }
    assert.ok(device);
    await emptyDevice(device);
    return new Victim(
      emulator,
      command,
      ['download', snapshotId, device.device],
      blocks.keys(),
      () => stateJournal(command, 'progress'),
      async () => assert.equal(await firstWrongBlock(device.backing, blocks, GIB, BLOCK), undefined),
      () => meddle(device.device, indexes),
      true,
    );
  }

  /** Uploads what differs from a parent, and saves digests of all. */
  static async #incrementalUpload(emulator: Emulator, command: Command, path: string): Promise<Victim> {
    const parentBlocks = randomBlocks(indexes, [4], BLOCK);
    const parent = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: parentBlocks });
    const changed = randomBlocks(
      indexes.map((index) => index + (index % 2)).filter((index) => index < GIB / BLOCK),
      [],
      BLOCK,
    );
    // A block of zeros over data, which is a hole of the source.
    const blocks = new Map([...parentBlocks, ...changed, [9, Buffer.alloc(BLOCK)]]);
    writeFileSync(path, '');
    truncateSync(path, GIB);
    const file = openSync(path, 'r+');
    for (const [block, data] of blocks) if (!isZero(data)) writeSync(file, data, 0, BLOCK, block * BLOCK);
    closeSync(file);
    const digests = `${path}.digests`;
    return new Victim(
      emulator,
      command,
      [
        'upload',
        '--incremental',
        '--parent-snapshot-id',
        parent,
        '--detect-holes',
        '--save-digests',
        digests,
        path,
      ],
      [...changed.keys(), 9],
      () => uploadJournal(path, emulator),
      async (stdout) => {
        const snapshotId = stdout.trim();
        assert.equal(emulator.snapshot(snapshotId)?.status, 'completed');
        const image = await emulator.readImage(snapshotId);
        assert.equal(await firstWrongBlock(image, blocks, GIB, BLOCK), undefined);
        const reader = await DigestReader.open(digests);
        assert.equal(reader?.header.snapshotId, snapshotId);
        for (const [block, data] of blocks) {
          const digest = await reader!.digest(block);
          if (isZero(data)) assert.equal(digest, undefined);
          else assert.ok(hash('sha256', data, 'buffer').equals(digest!), `digest of block ${block}`);
        }
        await reader!.close();
        assert.ok(!existsSync(`${digests}.partial`));
      },
      () => {
        const { offset, data } = meddle(path, [...blocks.keys()]);
        const block = Math.floor(offset / BLOCK);
        const copy = Buffer.from(blocks.get(block)!);
        data.copy(copy, offset - block * BLOCK);
        blocks.set(block, copy);
      },
    );
  }

  /** Copies between two emulators. @param countsGets whether requests of the source count, or those of the destination */
  static async #copy(
    source: Emulator,
    command: Command,
    scratch: Scratch,
    countsGets: boolean,
  ): Promise<Victim> {
    const destination = await startEmulator({ blockSize: BLOCK });
    scratch.onEnd(() => destination.close());
    const blocks = randomBlocks(indexes, [4], BLOCK);
    const snapshotId = await source.putSnapshot({ volumeSizeGiB: 1, blocks });
    return new Victim(
      countsGets ? source : destination,
      command,
      ['copy', '--endpoint', source.url, '--to-endpoint', destination.url, snapshotId],
      blocks.keys(),
      () => stateJournal(command, 'upload'),
      async (stdout) => {
        const made = destination.snapshot(stdout.trim());
        assert.deepEqual([made?.status, made?.writtenBlocks], ['completed', [...blocks.keys()]]);
        const image = await destination.readImage(stdout.trim());
        assert.equal(await firstWrongBlock(image, blocks, GIB, BLOCK), undefined);
      },
      () => {},
      false,
      countsGets ? 'GetSnapshotBlock' : 'PutSnapshotBlock',
    );
  }

  /** Makes the image of a base, in place, into that of its child. */
  static async #incremental(
    emulator: Emulator,
    command: Command,
    path: string,
    device: { device: string; backing: string } | undefined,
  ): Promise<Victim> {
    const base = randomBlocks(indexes, [4], BLOCK);
    const since = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: base });
    const changed = randomBlocks(
      indexes.map((index) => (index === 3 ? index : Math.min(index + (index % 2), GIB / BLOCK - 1))),
      [4],
      BLOCK,
    );
    const gone = [6];
    for (const index of gone) changed.delete(index);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks: changed, parent: since, gone });
    const blocks = new Map([...base, ...changed]);
    for (const index of gone) blocks.delete(index);
    const image = device?.backing ?? path;
    writeFileSync(image, '');
    truncateSync(image, GIB);
    const file = openSync(image, 'r+');
    for (const [block, data] of base) writeSync(file, data, 0, BLOCK, block * BLOCK);
    closeSync(file);
    const target = device?.device ?? path;
    // The start and the end of a device are staged, so that they are fetched even if they have not changed.
    const staged = [...blocks.keys()].filter((at) => at < (2 * MIB) / BLOCK || at >= (GIB - MIB) / BLOCK);
    return new Victim(
      emulator,
      command,
      ['download', '--since', since, '--trust-base', snapshotId, target],
      new Set([...changed.keys(), ...(device === undefined ? [] : staged)]),
      () => (device === undefined ? `${path}.coldsnap-progress` : stateJournal(command, 'progress')),
      async () => assert.equal(await firstWrongBlock(image, blocks, GIB, BLOCK), undefined),
      // Outside what has changed since the base, only a comparison with the base would notice.
      () => {},
    );
  }

  /**
   * Kills a run at each of the moments, and then lets one run to its end.
   * @returns whether each run lived until its moment
   */
  async killAndRunAgain(...moments: Moment[]): Promise<boolean> {
    return this.#killAndRunAgain(moments, false);
  }

  /** The same, with another program that writes after each kill: only the result is checked, not what it took. */
  async killWriteAndRunAgain(...moments: Moment[]): Promise<boolean> {
    return this.#killAndRunAgain(moments, true);
  }

  async #killAndRunAgain(moments: readonly Moment[], writer: boolean): Promise<boolean> {
    let safe = new Set<number>();
    const past: string[] = [];
    let total = 0;
    // Blocks that killed runs requested and their journals do not list.
    let lost = 0;
    for (const moment of [...moments, undefined]) {
      this.emulator.clearLog();
      const { end, stderr, stdout } = await this.#runUntil(moment);
      const when = past.length === 0 ? '' : `killed at ${past.join(', then ')}: `;
      const transferred = this.emulator
        .requests(this.#operation)
        .map((request) => request.blockIndex as number);
      assert.deepEqual(
        transferred.filter((block) => safe.has(block)),
        [],
        `${when}blocks of the journal were transferred again`,
      );
      // Requests that the killed process had sent may arrive only now.
      const late = past.length * WORKERS;
      total += transferred.length;
      assert.ok(
        total <= this.#blocks.length + lost + late,
        `${when}${total} requests for ${this.#blocks.length} blocks, of which ${lost} were lost`,
      );
      if (end !== 'SIGKILL') {
        assert.equal(end, 0, `${when}${stderr}`);
        await this.#check(stdout);
        if (!writer) {
          const service = { endpoint: this.emulator.url, region: 'us-east-1' };
          assert.deepEqual(await listPendingSnapshots(service), [], 'a snapshot is pending');
        }
        return moment === undefined;
      }
      past.push(describeMoment(moment as Moment));
      // The transfer was complete when the process was killed. Another download would be refused; an upload, whose ID is
      // printed, would be another one.
      if (!this.#journals().every(existsSync) && (await this.#isComplete(stdout))) return true;
      if (writer) {
        this.#meddle();
        // The start of a disk may have been written, which only the user can allow to overwrite.
        if (this.#onDevice) this.#args.push('--force');
        lost = Infinity;
        continue;
      }
      const journalled = this.#journals().map(journalledBlocks);
      safe = new Set(this.#blocks.filter((block) => journalled.every((blocks) => blocks.has(block))));
      lost += transferred.filter((block) => !safe.has(block)).length;
    }
    return true;
  }

  async #isComplete(stdout: string): Promise<boolean> {
    return this.#check(stdout).then(
      () => true,
      () => false,
    );
  }

  async #runUntil(moment: Moment | undefined): Promise<Ended> {
    if (moment === undefined) return this.#command.run(this.emulator.url, this.#args);
    const options = { checkpointMs: moment.checkpointMs ?? 5 };
    if ('call' in moment) {
      const { call, number } = moment;
      const strace = [`trace=${call}`, `inject=${call}:signal=KILL:when=${number}`];
      return this.#command.run(this.emulator.url, this.#args, { ...options, strace });
    }
    const running = this.#command.start(this.emulator.url, this.#args, options);
    const kill = () => void running.process.kill('SIGKILL');
    this.emulator.waitForRequest((record) => record.status === 0, moment.request).then(kill, () => {});
    return running.ended();
  }
}
