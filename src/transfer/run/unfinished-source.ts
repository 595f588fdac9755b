/** Refuses, or warns of, an image that an interrupted download has left. */
import type { ImageSource } from '../../image/source.ts';
import { allocateSlab } from '../../native/index.ts';
import { peekJournal } from '../journal/journal.ts';
import { unfinishedRestore } from '../journal/restore.ts';
import { sourceUnfinished } from '../messages.ts';
import { warnings } from '../warnings.ts';
import type { Run } from './run.ts';

/**
 * @param force whether such an image is used, with a warning; undefined where nothing allows that
 * @throws ColdsnapError `SOURCE_UNFINISHED`
 */
export async function checkFinished(run: Run, image: ImageSource, force?: boolean): Promise<void> {
  const download = await interruptedDownload(image);
  if (download === undefined) return;
  if (force !== true) throw sourceUnfinished(image.label, download, force === false);
  run.warn(...warnings.sourceUnfinished(image.label, download));
}

/** The download that was interrupted, for messages. */
async function interruptedDownload(image: ImageSource): Promise<string | undefined> {
  const found = await image.unfinished?.();
  if (found === undefined) return undefined;
  const { marked, inode } = found;
  const journal = found.journal && (await unfinishedRestore(peekJournal(found.journal)));
  const ours =
    journal !== undefined &&
    (inode === undefined ? await isZero(image, journal.blockSize) : marked || journal.instance === inode);
  if (ours) return `an interrupted download of ${journal.description}`;
  return marked ? 'an interrupted download' : undefined;
}

async function isZero(image: ImageSource, blockSize: number): Promise<boolean> {
  const first = { data: new Uint8Array(allocateSlab(blockSize)), offset: 0 };
  const [found] = await image.readBlocks([first], { hash: false });
  return found?.zero === true;
}
