/** Names of targets, and of the files that a restore to a file makes beside it. */

/** The names of this process's stdout. */
export const stdoutNames: ReadonlySet<string> = new Set(['-', '/dev/stdout', '/dev/fd/1', '/proc/self/fd/1']);

export const partialName = (file: string): string => `${file}.partial`;

export const journalName = (file: string): string => `${file}.coldsnap-progress`;
