/** Names of targets, and of the files that a restore to a file makes beside it. */

/** The names of this process's stdout. */
export const stdoutNames: ReadonlySet<string> = new Set(['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1']);

export const partialName = (file: string): string => `${file}.partial`;

/** Whether a restore or an upload may keep its journal in a file of this name. */
export const isJournalName = (path: string): boolean => /\.coldsnap-(progress|upload)$/.test(path);

export const journalName = (file: string): string => `${file}.coldsnap-progress`;
