/** The emulator of a soak, in a process of its own: tells its URL, and forgets the snapshots that it is told. */
import { type FaultRule, startEmulator } from '../../src/emulator/index.ts';
import { type Fault, faults } from './faults.ts';

/** How often each of them meets a request, and of which kind, if not of any. */
const weather: readonly [Fault, number, string?][] = [
  ['is HTTP 500', 0.01],
  ['is HTTP 500 though it was done', 0.01],
  ['is HTTP 503', 0.01],
  ["is a throttle of the snapshot's", 0.005, 'PutSnapshotBlock'],
  ['does not come', 0.01],
  ['does not come though it was done', 0.01],
  ['is a reset', 0.01],
  ['breaks off in its body', 0.01],
  ['stalls though it was done', 0.002],
  ['stalls in its body', 0.002],
  ['is shorter than Content-Length says', 0.01],
  // A bit flipped in the words of a refusal would make another refusal of it.
  ['has a flipped bit', 0.01, 'GetSnapshotBlock'],
  ['has the checksum of other data', 0.01],
  ['is chunked', 0.01],
  ['is a page of HTML with status 500', 0.005],
  ['closes the connection', 0.02],
  ['closes the connection without a word', 0.02],
  ['is half of its text', 0.005],
  ['is late', 0.01],
];

/** Other luck every time: rules are drawn by seed, block and number of the call. */
function rules(seed: number): FaultRule[] {
  return weather.map(([fault, probability, operation], at) => ({
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
