/** The command line as it is, except that its journal is saved as often as COLDSNAP_TEST_CHECKPOINT_MS says. */
import { main } from '../../src/cli/main.ts';
import { processIo } from '../../src/cli/process-io.ts';

const interval = process.env.COLDSNAP_TEST_CHECKPOINT_MS;
const often = interval === undefined ? {} : { checkpointIntervalMs: Number(interval) };
const io = processIo();
const exitCode = await main({
  ...io,
  library: async () => {
    const library = await io.library();
    return {
      ...library,
      downloadSnapshot: (options) => library.downloadSnapshot({ ...options, ...often }),
      uploadSnapshot: (options) => library.uploadSnapshot({ ...options, ...often }),
    };
  },
});
process.exit(exitCode);
