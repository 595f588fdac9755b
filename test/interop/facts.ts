/** What a command line did, without what differs from run to run: what the table of command lines compares. */
import { createHash } from 'node:crypto';
import { closeSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs';
import { join } from 'node:path';
import type { Emulator } from '../../src/emulator/index.ts';
import { nextExtent } from '../../src/native/index.ts';
import { UPLOAD_MARKER_TAG } from '../../src/transfer/snapshot/marker.ts';
import type { Outcome, Workplace } from '../support/workplace.ts';

const PIECE = 524_288;

export interface Facts {
  readonly succeeds: boolean;
  /** New snapshot IDs are `snap-new`, a help text is `<usage>`. */
  readonly stdout: string;
  /** How many requests there were of each operation, with each status. */
  readonly requests: Readonly<Record<string, number>>;
  /** The snapshots that exist now and did not before, with a digest of the image. */
  readonly started: readonly object[];
  /** Files of the directory: size and digest, or what it is. */
  readonly files: Readonly<Record<string, string>>;
}

/** What there is before a tool is run. */
export interface Before {
  readonly snapshots: ReadonlySet<string>;
  /** The digest of the image that is downloaded; files that are the same are called `<snapshot>`. */
  readonly image: string;
}

export async function statTarget(place: Workplace, outcome: Outcome, before: Before): Promise<Facts> {
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
    // Each tool has its own format of checkpoints; that there is one is what can be compared.
    if (name.endsWith('.coldsnap-progress')) files[name] = '<checkpoint>';
  }
  return {
    succeeds: outcome.exit === 0,
    stdout: /^Usage: /.test(stdout) ? '<usage>' : stdout,
    requests,
    started: await Promise.all(started.map((id) => snapshotFacts(emulator, id))),
    files,
  };
}

/** IDs of the snapshots that the emulator has. */
export function snapshotsOf({ directory }: Workplace): string[] {
  return readdirSync(join(directory, '../snapshots')).filter((name) => name.startsWith('snap-'));
}

/** The snapshot but for its ID and for the tag that this tool marks its uploads with. */
async function snapshotFacts(emulator: Emulator, id: string): Promise<object> {
  const view = emulator.snapshot(id);
  if (view === undefined) throw new Error(`the emulator does not know ${id}`);
  const { [UPLOAD_MARKER_TAG.key]: _marker, ...tags } = view.tags;
  return { ...view, id: 'snap-new', tags, image: await digest(await emulator.readImage(id)) };
}

/** Size and digest of a file; pieces of zeros count as holes do, so that sparse and full images are equal. */
export async function digest(path: string): Promise<string> {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(PIECE);
  const zeros = Buffer.alloc(PIECE);
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
      for (next = Math.max(next, Math.floor(extent.start / PIECE)); next * PIECE < extent.end; next++) {
        const piece = buffer.subarray(0, readSync(file, buffer, 0, PIECE, next * PIECE));
        if (!piece.equals(zeros.subarray(0, piece.length))) hash.update(`${next}:`).update(piece);
      }
    }
    return `${size} ${hash.digest('hex').slice(0, 16)}`;
  } finally {
    closeSync(file);
  }
}
