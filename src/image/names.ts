/** Names of targets and sources, and of the files that a transfer makes beside them. */
import { basename } from 'node:path';

/** The names of this process's stdout. */
export const stdoutNames: ReadonlySet<string> = new Set(['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1']);

export const partialName = (file: string): string => `${file}.partial`;

/** Whether a restore or an upload may keep its journal in a file of this name. */
export const isJournalName = (path: string): boolean => /\.coldsnap-(progress|upload)$/.test(path);

export const journalName = (file: string): string => `${file}.coldsnap-progress`;

/** Bytes of a name, on every file system of Linux (NAME_MAX). */
const maxNameBytes = 255;
/** Room for additions to a journal's name: the destination of an upload, and `.lock` or `.new`. */
const reservedBytes = 50;

/** Whether a journal of this name can be kept: a name that is too long leaves room for the image alone. */
export function fitsJournal(journal: string): boolean {
  return Buffer.byteLength(basename(journal)) <= maxNameBytes - reservedBytes;
}
