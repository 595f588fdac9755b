/** Output to a file. Node's own stream writes once, and loses what does not fit on a full disk without an error. */
import { fstatSync, writeSync } from 'node:fs';
import { Writable } from 'node:stream';

/** The stream of a descriptor that is a regular file; undefined for anything else. */
export function fileOutput(fd: number): Writable | undefined {
  if (!isFile(fd)) return undefined;
  return new Writable({
    write(chunk: Buffer, _encoding, done) {
      try {
        for (let at = 0; at < chunk.length; ) at += writeSync(fd, chunk, at);
        done();
      } catch (error) {
        done(error as Error);
      }
    },
  });
}

function isFile(fd: number): boolean {
  try {
    return fstatSync(fd).isFile();
  } catch {
    return false;
  }
}
