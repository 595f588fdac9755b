/**
 * Reads the whole list of a snapshot as a download does, page by page, and prints how many blocks it names:
 * read-list.js SNAPSHOT ENDPOINT
 */
import { setFlagsFromString } from 'node:v8';
import { listBlocks } from '../../dist/ebs/list/block-list.js';
import { openEbs } from '../../dist/ebs/open.js';

// As the command line has it.
setFlagsFromString('--semi-space-growth-factor=1');
const [snapshotId, endpoint] = process.argv.slice(2);
const ebs = await openEbs({ endpoint, workers: 1, onRetry: () => {} });
let count = 0;
for await (const page of listBlocks(ebs.api, snapshotId)) count += page.entries.length;
ebs.close();
console.log(count);
