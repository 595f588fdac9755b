/**
 * Reads a snapshot's list page by page, as a download does, and prints the number of blocks.
 * Usage: read-list.js SNAPSHOT ENDPOINT
 */
import { setFlagsFromString } from 'node:v8';
import { listBlocks } from '../../dist/ebs/list/block-list.js';
import { openEbs } from '../../dist/ebs/open.js';

// The same setting as the command line's.
setFlagsFromString('--semi-space-growth-factor=1');
const [snapshotId, endpoint] = process.argv.slice(2);
const ebs = await openEbs({ endpoint, workers: 1, onRetry: () => {} });
let count = 0;
for await (const page of listBlocks(ebs.api, snapshotId)) count += page.entries.length;
ebs.close();
console.log(count);
