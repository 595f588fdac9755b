/** The journal of one run: locked against other runs, replaced during the run, removed after success. */
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
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

/** Enough to look for the journal of an earlier run. */
export interface JournalReader {
  readonly location: JournalLocation;
  read(): Promise<JournalReading>;
  setAside(reason: string): Promise<string>;
}

/** A journal that is only looked at: nothing is locked, moved or written. */
export function peekJournal(location: JournalLocation): JournalReader {
  return {
    location,
    async read() {
      const reading = await readJournal(location.path);
      if (reading.kind === 'absent') return { kind: 'none' };
      if (reading.kind === 'corrupt') return { kind: 'rejected', reason: reading.reason };
      return { kind: 'found', content: reading.content, sealed: reading.sealed };
    },
    setAside: async (reason) => reason,
  };
}

export class Journal<Content extends object> implements JournalReader {
  readonly location: JournalLocation;
  readonly #run: Run;
  readonly #operation: string;
  #lock: JournalLock | undefined;
  #earlier: object | undefined;
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
      // Then no journal can be written either, and one warning is enough.
      this.#failing = !(await isWritable(dirname(path)));
      const { journalNotWritten, journalNotLocked } = warnings;
      const operation = this.#operation;
      this.#run.warn(
        ...(this.#failing ? journalNotWritten(operation, path, error) : journalNotLocked(operation, error)),
      );
      return;
    }
    if (this.#lock === undefined) throw busy(lockOf(path));
  }

  /** Reads what an earlier run saved. A damaged journal is renamed. */
  async read(): Promise<JournalReading> {
    const reading = await readJournal(this.location.path);
    if (reading.kind === 'absent') return { kind: 'none' };
    if (reading.kind === 'corrupt') return { kind: 'rejected', reason: await this.setAside(reading.reason) };
    const { content, sealed } = reading;
    if (sealed && typeof content === 'object' && content !== null) this.#earlier = content;
    return { kind: 'found', content, sealed };
  }

  /** Puts back what {@link read} found: this run has done nothing that a later one could resume. Never throws. */
  async restoreEarlier(): Promise<void> {
    if (this.#earlier === undefined) return this.remove();
    await writeJournal(this.location.path, this.#earlier).catch(() => {});
  }

  /** Renames a file that cannot be used, so that it can be inspected. Returns the reason, and the new path. */
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

  /** Removes the journal after success. A failure is a warning: the next run would find what this one has done. */
  async remove(): Promise<void> {
    const { path } = this.location;
    try {
      await removeJournal(path);
    } catch (error) {
      const exists = this.#written || this.#earlier !== undefined;
      if (exists) this.#run.warn(...warnings.journalNotRemoved(path, error));
    }
  }

  async release(): Promise<void> {
    await this.#lock?.release();
  }
}

function isWritable(directory: string): Promise<boolean> {
  return access(directory, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
}
