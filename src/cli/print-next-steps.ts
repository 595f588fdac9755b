import type { CommandIo } from './io.ts';
import { stepsAfterDownload } from './next-steps.ts';
import { printLine } from './output.ts';
import { describePartitions, describeSteps } from './report-text.ts';

/** Prints which partitions the restored image has, and the commands that follow. */
export async function printNextSteps(target: string, volumeSize: number, io: CommandIo): Promise<void> {
  const library = await io.library();
  // The restore is done: what cannot be read now is no failure of it.
  const layout = await library.readImageLayout(target).catch(() => undefined);
  if (layout === undefined) return;
  const text = describePartitions(layout).split('\n').filter(Boolean);
  for (const line of [...text, ...describeSteps(stepsAfterDownload(layout, volumeSize))]) printLine(io, line);
}
