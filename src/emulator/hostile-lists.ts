/** Invalid listings. */

import { randomBytes } from 'node:crypto';
import type { ListFault } from './faults.ts';
import type { Reply } from './reply.ts';

interface Listing {
  Blocks?: { BlockIndex: number }[];
  ChangedBlocks?: { BlockIndex: number }[];
  VolumeSize: number;
  BlockSize: number;
  NextToken: string | null;
}

/** Rewrites the body of a listing; does not change other replies. */
export function alterListing(fault: ListFault, reply: Reply): void {
  if (reply.status !== 200 || reply.headers['Content-Type'] !== 'application/json') return;
  const listing = JSON.parse(reply.body.toString()) as Listing;
  const entries = listing.Blocks ?? listing.ChangedBlocks;
  if (entries === undefined) return;
  const change = (replacement: typeof entries): void => {
    entries.splice(0, entries.length, ...replacement);
  };
  const last = entries.at(-1);
  switch (fault.contents) {
    case 'outside':
      if (last) last.BlockIndex = (listing.VolumeSize * 2 ** 30) / listing.BlockSize;
      break;
    case 'negative':
      if (entries[0]) entries[0].BlockIndex = -1;
      break;
    case 'descending':
      entries.reverse();
      break;
    case 'duplicate':
      change(entries.flatMap((entry) => [entry, entry]));
      break;
    case 'huge-volume':
      listing.VolumeSize = 2 ** 40;
      break;
    case 'other-volume':
      listing.VolumeSize++;
      break;
    case 'other-blocks':
      listing.BlockSize *= 2;
      break;
    case 'endless':
      change([]);
      listing.NextToken = (fault.sameToken === true ? Buffer.alloc(36) : randomBytes(36)).toString('base64');
  }
  reply.body = Buffer.from(JSON.stringify(listing));
}
