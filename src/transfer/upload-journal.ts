/** What one run of an upload does with its journal: locks it, takes up what an earlier run has left, writes its own. */
import { ColdsnapError } from '../errors.ts';
import type { ImageSource } from '../image/source.ts';
import { JournalLock, lockOf } from './journal-lock.ts';
import type { UploadOptions } from './options.ts';
import {
  findUploadJournal,
  type JournalLocation,
  UploadCheckpoint,
  type UploadLookup,
  type UploadToken,
} from './upload-checkpoint.ts';
import { startRequest } from './upload-request.ts';
import type { OpenSnapshot } from './upload-start.ts';

/** What has been put until now. */
type Progress = Pick<OpenSnapshot, 'done' | 'linear'>;

export class RunJournal {
  readonly #options: UploadOptions & { volumeSizeGiB: number };
  readonly #source: ImageSource;
  readonly #warn: (code: string, message: string) => void;
  readonly #place: JournalLocation | undefined;
  #lock: JournalLock | undefined;
  #checkpoint: UploadCheckpoint | undefined;
  #failing = false;
  #written = false;

  constructor(
    options: UploadOptions & { volumeSizeGiB: number },
    source: ImageSource,
    warn: (code: string, message: string) => void,
  ) {
    this.#options = options;
    this.#source = source;
    this.#warn = warn;
    const { checkpoint, checkpointFile } = options;
    if (checkpoint === false || source.journal === undefined) return;
    this.#place = { ...source.journal, path: checkpointFile ?? source.journal.path };
  }

  /** Whether there is to be one, so that a later run can go on. */
  get resumable(): boolean {
    return this.#place !== undefined;
  }

  /** Whether there is one, which leads to the snapshot. */
  get written(): boolean {
    return this.#written;
  }

  /** Two runs with one journal would put into one snapshot, and each complete it with its own count. */
  async lock(): Promise<void> {
    if (this.#place === undefined) return;
    const { path } = this.#place;
    try {
      this.#lock = await JournalLock.take(path);
    } catch (error) {
      // Without the addon nothing works, not only locks.
      if (error instanceof ColdsnapError && error.class === 'config') throw error;
      this.#warn(
        'JOURNAL_NOT_LOCKED',
        `No lock could be taken on the journal (${(error as Error).message}); see that no other upload uses it.`,
      );
      return;
    }
    if (this.#lock === undefined) throw sourceBusy(this.#source.path, lockOf(path));
  }

  async release(): Promise<void> {
    await this.#lock?.release();
  }

  /** Looks for what an earlier run has left. */
  async find(): Promise<UploadLookup> {
    if (this.#place === undefined) return { kind: 'none' };
    const found = await findUploadJournal(this.#place, this.#parameters);
    if (this.#options.fresh === true) {
      const left = found.kind === 'fits' ? found.journal.snapshotId : undefined;
      if (left) this.onDiscarded('a fresh start was asked for', left);
      return { kind: 'none' };
    }
    if (found.kind === 'unfit') this.onDiscarded(found.reason, found.snapshotId);
    return found;
  }

  readonly onDiscarded = (reason: string, leftover?: string): void => {
    const left =
      leftover === undefined
        ? ''
        : ` The earlier snapshot ${leftover} stays behind; "coldsnap pending" lists it.`;
    this.#warn(
      'JOURNAL_NOT_USED',
      `The journal of an earlier upload is not used: ${reason}. Starting anew.${left}`,
    );
  };

  /** What must be the same for an earlier run's snapshot to be gone on with. */
  get #parameters(): string {
    const request = startRequest(this.#options, {
      clientToken: '',
      marked: false,
      resumable: this.resumable,
    });
    const { omitZeroBlocks = false, detectHoles = false, holesFromSidecar = '' } = this.#options;
    return JSON.stringify({ ...request, omitZeroBlocks, detectHoles, holesFromSidecar });
  }

  /** Writes the journal of a snapshot; `snapshotId` is empty until StartSnapshot has answered. */
  async begin(
    header: UploadToken & { snapshotId: string; blockSize: number },
    progress: Progress,
  ): Promise<void> {
    if (this.#place === undefined) return;
    this.#checkpoint = new UploadCheckpoint(this.#place, { ...header, parameters: this.#parameters });
    await this.save(progress);
  }

  /** Writes down how far it is. A journal that cannot be written is no reason to stop; that is said once, not every time. */
  async save({ done, linear }: Progress, completing = false): Promise<void> {
    if (this.#checkpoint === undefined) return;
    try {
      await this.#checkpoint.save(done, linear, completing);
      this.#failing = false;
      this.#written = true;
    } catch (error) {
      if (this.#failing) return;
      this.#failing = true;
      const journal = `The journal ${this.#place?.path} could not be written (${(error as Error).message})`;
      this.#warn('JOURNAL_NOT_WRITTEN', `${journal}; the upload goes on without it.`);
    }
  }

  async remove(): Promise<void> {
    await this.#checkpoint?.remove().catch(() => {});
  }
}

function sourceBusy(path: string, lock: string): ColdsnapError {
  return new ColdsnapError('refused', 'SOURCE_BUSY', `another run is uploading ${path} (it holds ${lock})`, {
    path,
    hint: 'Wait for it to end, or give this upload its own journal.',
  });
}
