/** The snapshots of a data directory and their states. */

import { createHash, randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ColdsnapError } from '../errors.ts';
import { isSnapshotId, replaceFile, Snapshot, type SnapshotMetadata } from './snapshot.ts';

/** Hashing yields to requests after this many digests. */
const DIGESTS_AT_ONCE = 8192;

export class Store {
  readonly #directory: string;
  readonly #now: () => number;
  readonly #completionDelayMs: number;
  readonly #snapshots = new Map<string, Snapshot>();
  readonly #byClientToken = new Map<string, Snapshot>();
  readonly #verifications = new Set<Promise<void>>();
  #closed = false;

  /** Opens the directory, creating it if necessary, and loads its snapshots. */
  constructor(directory: string, now: () => number, completionDelayMs: number) {
    this.#directory = directory;
    this.#now = now;
    this.#completionDelayMs = completionDelayMs;
    mkdirSync(directory, { recursive: true });
    this.#loadAll();
  }

  /** The key for tokens, created on first use. */
  tokenKey(): Buffer {
    const path = join(this.#directory, 'token-key');
    if (!existsSync(path)) replaceFile(path, randomBytes(32), 0o600);
    return readFileSync(path);
  }

  newId(): string {
    return `snap-${randomBytes(9).toString('hex').slice(0, 17)}`;
  }

  /** Whether files of a snapshot with this ID exist, a deleted one's included. */
  isTaken(id: string): boolean {
    return this.#snapshots.has(id);
  }

  get(id: string): Snapshot | undefined {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined || snapshot.metadata.deleted === true) return undefined;
    this.#advance(snapshot);
    return snapshot;
  }

  /** All snapshots that are not deleted, oldest first. */
  all(): Snapshot[] {
    const snapshots = [...this.#snapshots.values()].filter((snapshot) => snapshot.metadata.deleted !== true);
    for (const snapshot of snapshots) this.#advance(snapshot);
    return snapshots.sort((a, b) => a.metadata.startTime - b.metadata.startTime || (a.id < b.id ? -1 : 1));
  }

  byClientToken(token: string): Snapshot | undefined {
    const snapshot = this.#byClientToken.get(token);
    return snapshot && this.get(snapshot.id);
  }

  create(metadata: SnapshotMetadata): Snapshot {
    const parent = metadata.parentSnapshotId && this.#snapshots.get(metadata.parentSnapshotId);
    const snapshot = Snapshot.create(join(this.#directory, metadata.id), metadata, parent || undefined);
    this.#add(snapshot);
    return snapshot;
  }

  /** Starts completion: the snapshot completes after the delay if its count and checksum are right. */
  beginCompletion(snapshot: Snapshot, changedBlocksCount: number, checksum: string | undefined): void {
    const requestedAt = this.#now();
    snapshot.metadata.completion =
      checksum === undefined
        ? { changedBlocksCount, requestedAt }
        : { changedBlocksCount, checksum, requestedAt };
    snapshot.save();
    this.#verify(snapshot);
  }

  /** Deletes a snapshot; keeps its files while a child needs them. */
  delete(id: string): void {
    const snapshot = this.#snapshots.get(id);
    if (snapshot === undefined) return;
    snapshot.metadata.deleted = true;
    try {
      snapshot.save();
    } catch (error) {
      // On a full disk only a snapshot whose files go now can be deleted.
      if (this.#hasChild(snapshot)) {
        snapshot.metadata.deleted = false;
        throw error;
      }
    }
    this.#removeUnused();
  }

  #hasChild(snapshot: Snapshot): boolean {
    return [...this.#snapshots.values()].some((other) => other.parent === snapshot);
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.allSettled(this.#verifications);
    for (const snapshot of this.#snapshots.values()) snapshot.close();
  }

  #loadAll(): void {
    const found = new Map<string, SnapshotMetadata>();
    for (const entry of readdirSync(this.#directory, { withFileTypes: true })) {
      const path = join(this.#directory, entry.name, 'metadata.json');
      if (!entry.isDirectory() || !existsSync(path)) continue;
      const metadata = readMetadata(path);
      if (metadata?.version !== 1 || metadata.id !== entry.name || !isSnapshotId(metadata.id)) {
        throw unusable(path, 'was not written by this emulator');
      }
      found.set(metadata.id, metadata);
    }
    const load = (metadata: SnapshotMetadata): Snapshot => {
      const known = this.#snapshots.get(metadata.id);
      if (known !== undefined) return known;
      const parentMetadata = metadata.parentSnapshotId && found.get(metadata.parentSnapshotId);
      const parent = parentMetadata ? load(parentMetadata) : undefined;
      const snapshot = Snapshot.load(join(this.#directory, metadata.id), metadata, parent);
      snapshot.lastActivity = Math.min(Math.max(snapshot.lastActivity, metadata.startTime), this.#now());
      this.#add(snapshot);
      if (metadata.status === 'pending' && metadata.completion !== undefined) this.#verify(snapshot);
      return snapshot;
    };
    for (const metadata of found.values()) load(metadata);
    this.#removeUnused();
  }

  #add(snapshot: Snapshot): void {
    this.#snapshots.set(snapshot.id, snapshot);
    const token = snapshot.metadata.clientToken;
    if (token !== undefined && snapshot.metadata.deleted !== true) this.#byClientToken.set(token, snapshot);
  }

  #removeUnused(): void {
    for (let removed = true; removed; ) {
      removed = false;
      for (const snapshot of this.#snapshots.values()) {
        if (snapshot.metadata.deleted !== true || snapshot.busyBlocks.size > 0) continue;
        if (this.#hasChild(snapshot)) continue;
        snapshot.close();
        this.#snapshots.delete(snapshot.id);
        rmSync(snapshot.directory, { recursive: true, force: true });
        removed = true;
      }
    }
  }

  /** Updates the state by the clock. There are no timers, so that a test's clock decides. */
  #advance(snapshot: Snapshot): void {
    const { metadata } = snapshot;
    if (metadata.status !== 'pending') return;
    const now = this.#now();
    if (metadata.completion === undefined) {
      if (now - snapshot.lastActivity < metadata.timeoutMs) return;
      metadata.status = 'error';
      metadata.statusMessage =
        'The snapshot was cancelled: no block was written, or it was not completed, within its timeout.';
    } else {
      if (
        now - metadata.completion.requestedAt < this.#completionDelayMs ||
        snapshot.completionOutcome === undefined
      )
        return;
      metadata.status = snapshot.completionOutcome.error === undefined ? 'completed' : 'error';
      if (snapshot.completionOutcome.error !== undefined)
        metadata.statusMessage = snapshot.completionOutcome.error;
      metadata.completedAt = metadata.completion.requestedAt + this.#completionDelayMs;
    }
    snapshot.save();
  }

  #verify(snapshot: Snapshot): void {
    const work = this.#checkCompletion(snapshot).finally(() => this.#verifications.delete(work));
    this.#verifications.add(work);
  }

  async #checkCompletion(snapshot: Snapshot): Promise<void> {
    const { changedBlocksCount, checksum } = snapshot.metadata.completion!;
    if (changedBlocksCount !== snapshot.written.count) {
      snapshot.completionOutcome = {
        error: `ChangedBlocksCount is ${changedBlocksCount}, but ${snapshot.written.count} blocks were written.`,
      };
      return;
    }
    const right = checksum === undefined || checksum === (await this.#linearChecksum(snapshot));
    snapshot.completionOutcome = right ? {} : { error: 'The checksum does not match the blocks written.' };
  }

  /** SHA-256 over the raw digests of all written blocks in ascending order. */
  async #linearChecksum(snapshot: Snapshot): Promise<string> {
    const hash = createHash('sha256');
    let read = 0;
    for (let block = snapshot.written.next(0); block !== -1; block = snapshot.written.next(block)) {
      let end = block + 1;
      while (end - block < DIGESTS_AT_ONCE && snapshot.written.has(end)) end++;
      hash.update(snapshot.readDigests(block, end - block));
      read += end - block;
      block = end;
      // A small snapshot is completed when its reply is sent, whatever the machine does then.
      if (read < DIGESTS_AT_ONCE) continue;
      read = 0;
      await new Promise(setImmediate);
      if (this.#closed || snapshot.metadata.deleted === true) return '';
    }
    return hash.digest('base64');
  }
}

function readMetadata(path: string): SnapshotMetadata | null {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as SnapshotMetadata | null;
  } catch (cause) {
    throw unusable(path, 'is damaged', cause);
  }
}

function unusable(path: string, problem: string, cause?: unknown): ColdsnapError {
  return new ColdsnapError('local', 'DATA_DIRECTORY_DAMAGED', `${path} ${problem}`, {
    path,
    hint: `Delete ${dirname(path)}, or choose another data directory.`,
    cause,
  });
}
