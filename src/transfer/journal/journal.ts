/** The journal of one run: locked against other runs, replaced as the run goes on, removed after success. */
import { ColdsnapError } from '../../errors.ts';
import { journalRequired } from '../messages.ts';
import type { Run } from '../run/run.ts';
import { warnings } from '../warnings.ts';
import { makeJournalDirectory, readJournal, removeJournal, setJournalAside, writeJournal } from './file.ts';
import { JournalLock, lockOf } from './lock.ts';

/** Where a journal is, and what its content must name to be trusted. */
export interface JournalLocation {
  readonly path: string;
  readonly identity: string;
}

/** The file of an earlier run: none, one that is not a journal of ours, or its content. */
export type JournalReading =
  | { readonly kind: 'none' }
  | { readonly kind: 'rejected'; readonly reason: string }
  | { readonly kind: 'found'; readonly content: unknown; readonly sealed: boolean };

export class Journal<Content extends object> {
  readonly location: JournalLocation;
  readonly #run: Run;
  readonly #operation: string;
  #lock: JournalLock | undefined;
  #hasDirectory = false;
  #failing = false;
  #written = false;

  /** @param operation `download` or `upload`, for warnings */
  constructor(run: Run, operation: string, location: JournalLocation) {
    this.#run = run;
    this.#operation = operation;
    this.location = location;
  }

  /** Whether a later run can find what this one has saved. */
  get written(): boolean {
    return this.#written;
  }

  /**
   * Locks the journal; where that is impossible, warns and continues.
   * @param busy makes the error for a journal that another run holds, given the path of its lock
   */
  async lock(busy: (lock: string) => Error): Promise<void> {
    const { path } = this.location;
    try {
      this.#lock = await JournalLock.take(path);
    } catch (error) {
      // Without the addon nothing else would work either.
      if (error instanceof ColdsnapError && error.class === 'config') throw error;
      this.#run.warn(...warnings.journalNotLocked(this.#operation, error));
      return;
    }
    if (this.#lock === undefined) throw busy(lockOf(path));
  }

  /** Reads what an earlier run saved. A file that cannot be one of ours is for {@link setAside}. */
  async read(): Promise<JournalReading> {
    const reading = await readJournal(this.location.path);
    if (reading.kind === 'absent') return { kind: 'none' };
    if (reading.kind === 'corrupt') return { kind: 'rejected', reason: await this.setAside(reading.reason) };
    return { kind: 'found', content: reading.content, sealed: reading.sealed };
  }

  /** Moves a file that cannot be used out of the way, for somebody to look at. Returns the reason, and where it is now. */
  async setAside(reason: string): Promise<string> {
    const where = await setJournalAside(this.location.path).catch(() => undefined);
    return where === undefined ? reason : `${reason} (kept as ${where})`;
  }

  /** Replaces the journal. A failure is a warning, given once: the transfer continues without a journal. */
  async save(content: Content): Promise<void> {
    const { path } = this.location;
    try {
      if (!this.#hasDirectory) await makeJournalDirectory(path);
      this.#hasDirectory = true;
      await writeJournal(path, content);
      this.#failing = false;
      this.#written = true;
    } catch (error) {
      if (this.#failing) return;
      this.#failing = true;
      this.#run.warn(...warnings.journalNotWritten(this.#operation, path, error));
    }
  }

  /**
   * The same before the target is touched, where a later run could not do without it.
   * @throws ColdsnapError `JOURNAL_REQUIRED`
   */
  async saveFirst(content: Content): Promise<void> {
    await this.save(content);
    if (this.#failing) throw journalRequired(this.location.path);
  }

  /** Removes the journal after success; never throws. */
  async remove(): Promise<void> {
    await removeJournal(this.location.path).catch(() => {});
  }

  async release(): Promise<void> {
    await this.#lock?.release();
  }
}
