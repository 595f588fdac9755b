/** The reports of the commands that only report, for people. */

import { sanitize } from '../text.ts';
import type { DiffResult, DiskLayout, DryRun, InfoResult, TransferCost } from '../transfer/reports.ts';
import type { TargetsDryRun } from '../transfer/several-targets.ts';
import { alignColumns } from './columns.ts';
import type { NextStep } from './next-steps.ts';
import { formatBytes, formatCount, formatDollars, formatDuration } from './progress/format.ts';
import { inRegion, sourceName, targetName } from './progress-messages.ts';

/** `8.0 GiB (8589934592 bytes)` */
const exactBytes = (bytes: number) => `${formatBytes(bytes)} (${bytes} bytes)`;

/** `2,459 requests, $0.0074, at least 2.5 s` */
function describeCost({ requests, dollars, seconds }: TransferCost): string {
  const time = `at least ${formatDuration(seconds * 1000)}`;
  return `${formatCount(requests, 'request', 'requests')}, ${formatDollars(dollars)}, ${time}`;
}

/** `2,458 blocks`, and how much they are. */
const describeBlocks = (blocks: number, bytes: number) =>
  `${exactBytes(bytes)} in ${formatCount(blocks, 'block', 'blocks')}`;

/** `15 %`; `less than 1 %` where that would round to 0. */
function percentOf(part: number, whole: number): string {
  const percent = Math.floor((part / whole) * 100);
  return percent === 0 && part > 0 ? 'less than 1 %' : `${percent} %`;
}

export function describeInfo(info: InfoResult): string {
  const { snapshotId, volumeSize, blockSize, blocks, bytes, ranges, cost } = info;
  const { state, encrypted, startTime, description, tags = {} } = info;
  const facts = [snapshotId];
  if (state !== undefined) facts.push(state);
  if (encrypted !== undefined) facts.push(encrypted ? 'encrypted' : 'not encrypted');
  if (startTime !== undefined && !Number.isNaN(startTime.getTime()))
    facts.push(`started ${startTime.toISOString().replace(/\.\d+Z$/, 'Z')}`);
  const rows = [['snapshot', facts.join(', ')]];
  if (description) rows.push(['description', description]);
  const named = Object.entries(tags).map(([key, value]) => `${key}=${value}`);
  if (named.length > 0) rows.push(['tags', named.join(', ')]);
  const share = `${percentOf(bytes, volumeSize)} of the volume`;
  rows.push(
    ['volume', `${exactBytes(volumeSize)} in blocks of ${formatBytes(blockSize)}`],
    ['data', `${describeBlocks(blocks, bytes)}, ${formatCount(ranges, 'range', 'ranges')}, ${share}`],
    ['download', describeCost(cost)],
  );
  return alignColumns(rows) + (info.layout === undefined ? '' : describePartitions(info.layout));
}

export function describeDiff(diff: DiffResult): string {
  const { first, second, volumeSize, blockSize, changed, added, gone, cost } = diff;
  return alignColumns([
    ['snapshots', `${first} and ${second}`],
    ['volume', `${exactBytes(volumeSize)} in blocks of ${formatBytes(blockSize)}`],
    ['changed', describeBlocks(changed.blocks, changed.bytes)],
    ['added', describeBlocks(added.blocks, added.bytes)],
    ['gone', describeBlocks(gone.blocks, gone.bytes)],
    ['download', `${describeCost(cost)}, and at most 129 blocks to check the target`],
  ]);
}

export function describeDryRun(plan: DryRun | TargetsDryRun): string {
  if ('targets' in plan) return describeTargetsDryRun(plan);
  const { operation, volumeSize, blocks, bytes, bytesResumed, overwrites, atMost, blocksToProve } = plan;
  const download = operation === 'download';
  const rows = [[operation, transferOf(plan)]];
  rows.push(
    ['volume', exactBytes(volumeSize)],
    [download ? 'to fetch' : 'to send', `${atMost ? 'at most ' : ''}${describeBlocks(blocks, bytes)}`],
    ['cost', describeCost(plan)],
  );
  if (atMost) rows.push(['not read', 'the source, whose contents decide which blocks are sent']);
  if (blocksToProve !== undefined) rows.push(['not compared', targetNotCompared(blocksToProve)]);
  if (bytesResumed > 0) rows.push(['resumed', `${exactBytes(bytesResumed)} already done`]);
  if (overwrites !== undefined) rows.push(['overwrites', overwrites]);
  return alignColumns(rows);
}

const targetNotCompared = (blocks: number) =>
  `the target with the base, which fetches at most ${formatCount(blocks, 'block', 'blocks')} more`;

function transferOf({ operation, snapshotId, path = '', source, region }: DryRun): string {
  if (operation === 'download') return `${snapshotId ?? ''} to ${targetName(path)}`;
  if (operation === 'copy') return `${inRegion({ ...source })} to ${inRegion({ snapshotId, region })}`;
  return `${sourceName(path)} to ${snapshotId ?? 'a new snapshot'}`;
}

/** The common part, then each target. */
function describeTargetsDryRun(plan: TargetsDryRun): string {
  const { snapshotId, volumeSize, blocks, bytes, targets } = plan;
  const common = alignColumns([
    ['download', `${snapshotId} to ${formatCount(targets.length, 'target', 'targets')}`],
    ['volume', exactBytes(volumeSize)],
    ['to fetch', describeBlocks(blocks, bytes)],
    ['cost', describeCost(plan)],
  ]);
  const each = targets.map(({ path, blocks: own, bytes: ownBytes, bytesResumed, overwrites }) => {
    const rows = [['  to write', describeBlocks(own, ownBytes)]];
    if (bytesResumed > 0) rows.push(['  resumed', `${exactBytes(bytesResumed)} already done`]);
    if (overwrites !== undefined) rows.push(['  overwrites', overwrites]);
    return `${sanitize(path)}:\n${alignColumns(rows)}`;
  });
  return [common, ...each].join('');
}

/** The partition table and what is in each partition; empty where nothing is recognized. */
export function describePartitions({ table, partitions, contents }: DiskLayout): string {
  if (contents !== undefined) return alignColumns([['contents', formatName(contents)]]);
  if (table === undefined) return '';
  const rows = partitions.map(({ number, size, type, contents: found }) => [
    `  ${number}`,
    formatBytes(size),
    type,
    found === undefined ? '' : formatName(found),
  ]);
  return `partitions (${table}):\n${alignColumns(rows)}`;
}

const formatName = ({ type, label }: { readonly type: string; readonly label?: string }) =>
  label === undefined ? type : `${type} "${label}"`;

/** The steps as text: each what it does, then its commands, indented. */
export function describeSteps(steps: readonly NextStep[]): string[] {
  return steps.flatMap(({ does, lines }) => [`To ${does}:`, ...lines.map((line) => `  ${line}`)]);
}
