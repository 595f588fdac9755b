/** Maps a method and a path to an operation. */

export interface Route {
  operation: string;
  snapshotId?: string;
  blockIndex?: number;
}

/** The EBS operation for a request; `Unknown` if there is none, undefined if the request is for EC2. */
export function routeOf(method: string, path: string): Route | undefined {
  if (path === '/') return undefined;
  const parts = path.split('/').slice(1).map(decode);
  const [root, first, second, third] = parts;
  if (root !== 'snapshots' || parts.includes('')) return { operation: 'Unknown' };
  if (parts.length === 1 && method === 'POST') return { operation: 'StartSnapshot' };
  if (parts.length === 3 && first === 'completion' && method === 'POST') {
    return { operation: 'CompleteSnapshot', snapshotId: second as string };
  }
  const snapshotId = first as string;
  if (parts.length === 3 && method === 'GET') {
    if (second === 'blocks') return { operation: 'ListSnapshotBlocks', snapshotId };
    if (second === 'changedblocks') return { operation: 'ListChangedBlocks', snapshotId };
  }
  if (parts.length === 4 && second === 'blocks' && (method === 'GET' || method === 'PUT')) {
    const operation = method === 'GET' ? 'GetSnapshotBlock' : 'PutSnapshotBlock';
    return { operation, snapshotId, blockIndex: /^\d{1,10}$/.test(third as string) ? Number(third) : -1 };
  }
  return { operation: 'Unknown' };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return '';
  }
}
