/** An emulator with small blocks in a process of its own, to be killed. Usage: emulator-process.ts DIRECTORY */

import { startEmulator } from '../../src/emulator/index.ts';
import { SMALL } from './client.ts';

const emulator = await startEmulator({ blockSize: SMALL, dataDirectory: process.argv[2]! });
process.stdout.write(`${emulator.url}\n`);
