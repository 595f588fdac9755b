/** The emulator of a soak test, in its own process: sends its URL, and deletes the snapshots whose IDs it receives. */
import { type FaultRule, startEmulator } from '../../src/emulator/index.ts';
import { type Fault, faults } from './faults.ts';

/** Each fault's probability per request, and its operation unless it applies to all. */
const faultRates: readonly [Fault, number, string?][] = [
  ['is HTTP 500', 0.01],
  ['is HTTP 500 after the request was executed', 0.01],
  ['is HTTP 503', 0.01],
  ['is a throttle of the snapshot', 0.005, 'PutSnapshotBlock'],
  ['is lost', 0.01],
  ['is lost after the request was executed', 0.01],
  ['is a reset', 0.01],
  ['is cut off in the body', 0.01],
  ['stalls after the request was executed', 0.002],
  ['stalls in the body', 0.002],
  ['is shorter than Content-Length', 0.01],
  // A bit flipped in the text of an error would make it another error.
  ['has a flipped bit', 0.01, 'GetSnapshotBlock'],
  ['has the checksum of other data', 0.01],
  ['is chunked', 0.01],
  ['is a page of HTML with status 500', 0.005],
  ['closes the connection', 0.02],
  ['closes the connection without announcing it', 0.02],
  ['is truncated JSON', 0.005],
  ['is delayed', 0.01],
];

/** Rules are drawn by seed, block and number of the call: each seed gives another sequence. */
function rules(seed: number): FaultRule[] {
  return faultRates.map(([fault, probability, operation], at) => ({
    probability,
    seed: seed * 100 + at,
    action: faults[fault],
    ...(operation === undefined ? {} : { operation }),
  }));
}

const emulator = await startEmulator({ blockSize: Number(process.argv[2]), pageSize: 20 });
let seed = 0;
const change = () => emulator.setFaults(rules(seed++));
change();
setInterval(change, 10_000).unref();
process.on('message', (snapshotId: string) => {
  emulator.deleteSnapshot(snapshotId);
  emulator.clearLog();
});
process.on('disconnect', () => void emulator.close().then(() => process.exit()));
process.on('SIGTERM', () => void emulator.close().then(() => process.exit()));
process.send?.(emulator.url);
