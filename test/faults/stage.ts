/** The fixture of tests that disturb the command line from outside: the command, an emulator, and a snapshot. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Emulator, startEmulator } from '../../src/emulator/index.ts';
import { bytesAt, firstWrongBlock, GIB, randomBlocks } from '../support/service.ts';
import { until } from '../support/until.ts';
import { Command, type CommandOptions, type Ended, journalledBlocks, type Running } from './command.ts';

export const BLOCK = 16_384;
/** 60 blocks from block 0 on, and the last of the volume: 12 of them are staged on a device. */
export const indexes: readonly number[] = [
  ...Array.from({ length: 60 }, (_, at) => at * 12),
  GIB / BLOCK - 1,
];

const HALF = 30;

export class Stage {
  readonly emulator: Emulator;
  readonly command: Command;
  readonly snapshotId: string;
  readonly blocks: ReadonlyMap<number, Buffer>;
  readonly #directory: string;

  private constructor(
    emulator: Emulator,
    command: Command,
    snapshotId: string,
    blocks: ReadonlyMap<number, Buffer>,
    directory: string,
  ) {
    this.emulator = emulator;
    this.command = command;
    this.snapshotId = snapshotId;
    this.blocks = blocks;
    this.#directory = directory;
  }

  static async open(): Promise<Stage> {
    const directory = mkdtempSync(join(tmpdir(), 'coldsnap-stage-'));
    const command = await Command.compile(directory);
    const emulator = await startEmulator({ blockSize: BLOCK });
    const blocks = randomBlocks(indexes, [2, 30], BLOCK);
    const snapshotId = await emulator.putSnapshot({ volumeSizeGiB: 1, blocks });
    return new Stage(emulator, command, snapshotId, blocks, directory);
  }

  async close(): Promise<void> {
    await this.emulator.close();
    rmSync(this.#directory, { recursive: true });
  }

  /** Starts a download with two workers and a journal saved often, so that a test can interrupt it in the middle. */
  download(target: string, flags: readonly string[] = [], options: CommandOptions = {}): Running {
    const args = ['download', this.snapshotId, target, '--workers', '2', ...flags];
    return this.command.start(this.emulator.url, args, { checkpointMs: 1, ...options });
  }

  upload(source: string, flags: readonly string[] = [], options: CommandOptions = {}): Running {
    const args = ['upload', source, '--workers', '2', ...flags];
    return this.command.start(this.emulator.url, args, { checkpointMs: 1, ...options });
  }

  /** Waits for the n-th request of an operation since the log was cleared; its reply is not yet sent. */
  async request(operation: string, number: number, ended: Promise<Ended>): Promise<void> {
    const request = this.emulator.waitForRequest((record) => record.operation === operation, number);
    await Promise.race([request, failAtEnd(ended)]);
  }

  /** Throttles the requests for the second half of the blocks, which are retried. @returns a function that ends it */
  serveHalf(): () => void {
    const block = [...this.blocks.keys()].slice(HALF);
    const action = { type: 'error', status: 400, code: 'RequestThrottledException' } as const;
    this.emulator.setFaults([{ operation: 'GetSnapshotBlock', block, action }]);
    return () => this.emulator.setFaults([]);
  }

  /**
   * Waits until the journal lists the first half of the blocks, and was saved again after it did: an earlier save is
   * durable then. @param journal its path, which may not exist yet
   */
  async journalled(journal: () => string, ended: Promise<Ended>): Promise<void> {
    const last = [...this.blocks.keys()][HALF - 1] as number;
    let first: bigint | undefined;
    const savedAgain = () => {
      try {
        const path = journal();
        const { mtimeNs } = statSync(path, { bigint: true });
        const listed = journalledBlocks(path).has(last);
        // A save between the two reads would give the blocks of one journal and the time of another.
        if (statSync(path, { bigint: true }).mtimeNs !== mtimeNs) return false;
        if (listed) first ??= mtimeNs;
        return first !== undefined && mtimeNs !== first;
      } catch {
        return false;
      }
    };
    await until(savedAgain, ended);
  }

  /** The blocks requested, or sent, since the log was cleared. */
  requestedBlocks(operation: 'GetSnapshotBlock' | 'PutSnapshotBlock' = 'GetSnapshotBlock'): number[] {
    return this.emulator.requests(operation).map(({ blockIndex }) => blockIndex as number);
  }

  async assertImage(image: string): Promise<void> {
    assert.equal(await firstWrongBlock(image, this.blocks, GIB, BLOCK), undefined);
  }

  /** Asserts that the image holds every block that the journal lists. @returns those blocks */
  assertJournalMatches(image: string, journal: string): number[] {
    const done = [...journalledBlocks(journal)].filter((block) => this.blocks.has(block));
    for (const block of done) {
      const actual = bytesAt(image, block * BLOCK, BLOCK);
      assert.ok(
        this.blocks.get(block)?.equals(actual),
        `block ${block} is in the journal but not in the image`,
      );
    }
    return done;
  }

  /** Asserts that each block of the snapshot except these was requested once. */
  assertRequestedAllExcept(done: readonly number[]): void {
    const rest = [...this.blocks.keys()].filter((block) => !done.includes(block));
    assert.deepEqual(
      this.requestedBlocks().sort((a, b) => a - b),
      rest,
    );
  }
}

async function failAtEnd(ended: Promise<Ended>): Promise<never> {
  const { end, stderr } = await ended;
  throw new Error(`the run ended early with ${end}: ${stderr}`);
}

/** The only journal in a state directory. */
export function onlyJournal(directory: string): string {
  const names = readdirSync(directory).filter((name) => /\.coldsnap-(progress|upload)$/.test(name));
  assert.equal(names.length, 1, `journals: ${names}`);
  return join(directory, names[0] as string);
}
