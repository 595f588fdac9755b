/** Composes an upload of what differs from its parent. */
import type { SnapshotState } from '../ebs/ec2.ts';
import type { EbsConnection, Service } from '../ebs/service.ts';
import { ColdsnapError } from '../errors.ts';
import { type Geometry, GIB } from '../geometry.ts';
import { type BaseFile, checkBaseService, checkBaseSize, identifyBase } from './base/base-file.ts';
import { type BaseContents, DigestContents, ImageContents, ServiceContents } from './base/contents.ts';
import { ListedBlocks } from './base/listed.ts';
import {
  baseImageDiffers,
  baseImageMissing,
  baseUnused,
  childTooSmall,
  encryptionUnknown,
  parentHasOtherBlocks,
  parentMissing,
} from './base-messages.ts';
import { dollarsSaved } from './cost.ts';
import type { BlockSource } from './engine/block.ts';
import { RangeSet } from './engine/range-set.ts';
import type { TransferProgress } from './events.ts';
import { baseProofConflict } from './messages.ts';
import type { UploadOptions, UploadResult } from './options.ts';
import { readableSnapshotId } from './run/checks.ts';
import type { Run } from './run/run.ts';
import { proveBase, randomBlocks } from './sinks/base-proof.ts';
import { isBusy } from './snapshot/describe.ts';
import { geometryOf } from './sources/changed-blocks.ts';
import { type Base, DifferingBlocks } from './sources/differing-blocks.ts';
import { SnapshotRanges } from './sources/snapshot-ranges.ts';

/** How long EC2 may take to describe the parent. */
const DESCRIBE_MS = 30_000;
/** Codes of a completion that failed for another reason than that the snapshot is empty. */
const notForItsContents: ReadonlySet<string> = new Set(['SNAPSHOT_NOT_FOUND', 'QUOTA_EXCEEDED', 'BAD_REPLY']);

/** @throws ColdsnapError class `usage` */
export function checkBaseOptions(options: UploadOptions): void {
  const { incremental = false, parentSnapshotId, base, trustBase = false, verifyBase = false } = options;
  if (parentSnapshotId !== undefined) readableSnapshotId(parentSnapshotId);
  if (trustBase && verifyBase) throw baseProofConflict();
  if (!incremental && (base !== undefined || trustBase || verifyBase)) throw baseUnused();
  if (incremental && parentSnapshotId === undefined) throw parentMissing();
  if (base === undefined && (trustBase || verifyBase)) throw baseImageMissing();
}

/** The base of an incremental upload, which its blocks are compared with. */
export class UploadBase {
  /** The parent's. */
  readonly geometry: Geometry;
  /** A later run decides the same only with the same identity. */
  readonly identity: string;
  readonly #contents: BaseContents;
  readonly #base: Base;

  private constructor(geometry: Geometry, identity: string, contents: BaseContents, base: Base) {
    this.geometry = geometry;
    this.identity = identity;
    this.#contents = contents;
    this.#base = base;
  }

  /**
   * Lists the parent, and compares its image with it.
   * @param file that stands for the parent; without one its blocks are read at the service
   * @param options.compares whether blocks may be fetched
   * @returns undefined for an upload that compares nothing
   * @throws ColdsnapError class `refused` for sizes that do not fit, `integrity` for an image of something else
   */
  static async connect(
    run: Run,
    service: Service,
    file: BaseFile | undefined,
    options: UploadOptions,
    { compares }: { compares: boolean } = { compares: true },
  ): Promise<UploadBase | undefined> {
    const { parentSnapshotId: snapshotId, volumeSizeGiB: gib, trustBase } = options;
    if (options.incremental !== true || snapshotId === undefined) return undefined;
    const ebs = await service.ebs();
    if (file !== undefined) checkBaseService(file, snapshotId, ebs.identity);
    const geometry = await geometryOf(run, ebs, snapshotId);
    const { volumeSize } = geometry;
    if (gib !== undefined && gib * GIB < volumeSize) throw childTooSmall(snapshotId, gib, volumeSize / GIB);
    if (file !== undefined) checkBaseSize(file, snapshotId, geometry);
    if (compares && trustBase !== true && file?.image !== undefined)
      await proveImage(run, ebs, file.path, geometry, { ...options, parentSnapshotId: snapshotId });
    const encrypted = await mayBeEncrypted(run, service, snapshotId);
    const contents = contentsOf(run, ebs, snapshotId, file);
    return new UploadBase(geometry, `${await identifyBase(file)}:${encrypted}`, contents, {
      snapshotId,
      unlistedIsRandom: encrypted,
      list: (from) => new ListedBlocks(run, ebs, snapshotId, from),
      digest: (index, token, buffer) => contents.digest(index, token, buffer),
      finish: () => contents.finish(),
    });
  }

  /** @throws ColdsnapError code `BAD_GEOMETRY` unless the new snapshot's blocks have the size of the parent's */
  checkBlockSize(blockSize: number): void {
    if (this.geometry.blockSize !== blockSize)
      throw parentHasOtherBlocks(this.#base.snapshotId, this.geometry.blockSize, blockSize);
  }

  /** Whether zeros have to be put where the parent lists nothing. */
  get unlistedIsRandom(): boolean {
    return this.#base.unlistedIsRandom;
  }

  /** Reads a block of the parent, if any are read at the service, before a snapshot is started. It is not fetched again. */
  async readFirst(): Promise<void> {
    await this.#contents.readFirst?.();
  }

  /** The blocks of the source that differ. */
  differing(run: Run, source: BlockSource): BlockSource {
    return new DifferingBlocks(run, source, this.#base, this.geometry.blockSize);
  }

  /**
   * The parent, where it can be the result of an upload that failed because the service completes no snapshot without
   * blocks.
   * @param put blocks that were put
   */
  resultInstead(error: unknown, { volumeSize }: Geometry, put: number): string | undefined {
    if (!(error instanceof ColdsnapError) || error.operation !== 'CompleteSnapshot') return undefined;
    const refused = error.class === 'permanent' && !notForItsContents.has(error.code);
    return refused && put === 0 && volumeSize === this.geometry.volumeSize
      ? this.#base.snapshotId
      : undefined;
  }

  /** Counts blocks that were not sent, and the dollars saved. */
  savings({ bytesSkipped }: TransferProgress): Pick<UploadResult, 'blocksSkipped' | 'dollarsSaved'> {
    const blocksSkipped = bytesSkipped / this.geometry.blockSize;
    return { blocksSkipped, dollarsSaved: dollarsSaved(blocksSkipped, this.#contents.blocksFetched) };
  }
}

function contentsOf(
  run: Run,
  ebs: EbsConnection,
  snapshotId: string,
  file: BaseFile | undefined,
): BaseContents {
  if (file === undefined) return new ServiceContents(run, ebs, snapshotId);
  return file.digests === undefined ? new ImageContents(run, file.image) : new DigestContents(file.digests);
}

async function proveImage(
  run: Run,
  ebs: EbsConnection,
  path: string,
  geometry: Geometry,
  { parentSnapshotId: parentId, verifyBase = false }: UploadOptions & { parentSnapshotId: string },
): Promise<void> {
  const count = geometry.volumeSize / geometry.blockSize;
  const blocks = verifyBase ? new RangeSet([[0, count]]) : randomBlocks(count);
  await proveBase(run, (proof) => new SnapshotRanges(proof, ebs, parentId, blocks.ranges()), {
    contents: path,
    geometry,
    bytesTotal: blocks.size * geometry.blockSize,
    differs: (start, end) => baseImageDiffers(path, parentId, start, end),
  });
}

/**
 * An encrypted snapshot reads as random data where it lists nothing.
 * @throws ColdsnapError where EC2 stays busy: zeros for all that the parent does not list may be millions of blocks
 */
async function mayBeEncrypted(run: Run, service: Service, parentId: string): Promise<boolean> {
  const brief = service.impatient(Math.min(DESCRIBE_MS, service.retryForMs));
  const ask = (asked: Service) =>
    run.watch(`${parentId} to be described`, 'service', async () =>
      (await asked.ec2()).describe(parentId, { signal: run.signal }),
    );
  let found: SnapshotState | undefined;
  try {
    found = await ask(brief).catch((error: unknown) => {
      if (isBusy(error)) return ask(service);
      throw error;
    });
  } catch (error) {
    if (!(error instanceof ColdsnapError) || run.signal.aborted || isBusy(error)) throw error;
    run.warn(...encryptionUnknown(parentId, error.message));
    return true;
  } finally {
    brief.close();
  }
  if (found !== undefined) return found.encrypted;
  run.warn(...encryptionUnknown(parentId, 'EC2 does not list it'));
  return true;
}
