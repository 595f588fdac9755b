/** The effects of a command line that the table of command lines compares, without those that differ between runs. */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Emulator } from '../../src/emulator/index.ts';
import { nextExtent } from '../../src/native/index.ts';
import { UPLOAD_MARKER_TAG } from '../../src/transfer/snapshot/marker.ts';
import type { Outcome, Workplace } from '../support/workplace.ts';

const CHUNK = 524_288;

export interface Effects {
  readonly succeeds: boolean;
  /** New snapshot IDs are `snap-new`, a help text is `<usage>`. */
  readonly stdout: string;
  /** The number of requests by operation and status. */
  readonly requests: Readonly<Record<string, number>>;
  /** The new snapshots, each with a digest of its image. */
  readonly started: readonly object[];
  /** Files of the directory: size and digest, or a placeholder. */
  readonly files: Readonly<Record<string, string>>;
}

/** The state before a tool is run. */
export interface Before {
  readonly snapshots: ReadonlySet<string>;
  /** The digest of the downloaded image; files equal to it are shown as `<snapshot>`. */
  readonly image: string;
}

export async function observe(place: Workplace, outcome: Outcome, before: Before): Promise<Effects> {
  const { emulator } = place;
  const started = snapshotsOf(place).filter((id) => !before.snapshots.has(id));
  let stdout = outcome.stdout;
  for (const id of started) stdout = stdout.replaceAll(id, 'snap-new');
  const requests: Record<string, number> = {};
  for (const { operation, status } of emulator.log) {
    const kind = `${operation} ${status}`;
    requests[kind] = (requests[kind] ?? 0) + 1;
  }
  const files: Record<string, string> = {};
  for (const name of readdirSync(place.directory)) {
    const content = await digest(place.path(name));
    files[name] = content === before.image ? '<snapshot>' : content;
    // The tools have different checkpoint formats, so only its existence is compared.
    if (name.endsWith('.coldsnap-progress')) files[name] = '<checkpoint>';
  }
  return {
    succeeds: outcome.exit === 0,
    stdout: /^Usage: /.test(stdout) ? '<usage>' : stdout,
    requests,
    started: await Promise.all(started.map((id) => describeSnapshot(emulator, id))),
    files,
  };
}

/** The IDs of the emulator's snapshots. */
export function snapshotsOf({ directory }: Workplace): string[] {
  return readdirSync(join(directory, '../snapshots')).filter((name) => name.startsWith('snap-'));
}

/** The snapshot without its ID and the tag that this tool adds to its uploads. */
async function describeSnapshot(emulator: Emulator, id: string): Promise<object> {
  const view = emulator.snapshot(id);
  if (view === undefined) throw new Error(`the emulator does not know ${id}`);
  const { [UPLOAD_MARKER_TAG.key]: _marker, ...tags } = view.tags;
  // Other blocks of an encrypted snapshot read as random data.
  const listed = view.encrypted ? new Set(view.writtenBlocks) : undefined;
  return { ...view, id: 'snap-new', tags, image: await digest(await emulator.readImage(id), listed) };
}

/**
 * Size and digest of a file; chunks of zeros count as holes, so that sparse and full images are equal.
 * @param chunks those to read; all unless given
 */
export async function digest(path: string, chunks?: ReadonlySet<number>): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(CHUNK);
  const zeros = Buffer.alloc(CHUNK);
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    if (fstatSync(file).isDirectory()) return 'directory';
    let next = 0;
    for (
      let extent = await nextExtent(file, 0);
      extent !== null;
      extent = await nextExtent(file, extent.end)
    ) {
      for (next = Math.max(next, Math.floor(extent.start / CHUNK)); next * CHUNK < extent.end; next++) {
        if (chunks?.has(next) === false) continue;
        const chunk = buffer.subarray(0, readSync(file, buffer, 0, CHUNK, next * CHUNK));
        if (!chunk.equals(zeros.subarray(0, chunk.length))) hash.update(`${next}:`).update(chunk);
      }
    }
    return `${size} ${hash.digest('hex').slice(0, 16)}`;
  } finally {
    closeSync(file);
  }
}
