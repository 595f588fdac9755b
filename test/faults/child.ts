/** The command line, except that COLDSNAP_TEST_CHECKPOINT_MS sets how often its journal is saved. */
import { main } from '../../src/cli/main.ts';
import { processIo } from '../../src/cli/process-io.ts';

const interval = process.env.COLDSNAP_TEST_CHECKPOINT_MS;
const checkpoint = interval === undefined ? {} : { checkpointIntervalMs: Number(interval) };
const io = processIo();
const exitCode = await main({
  ...io,
  library: async () => {
    const library = await io.library();
    return {
      ...library,
      downloadSnapshot: (options) => library.downloadSnapshot({ ...options, ...checkpoint }),
      uploadSnapshot: (options) => library.uploadSnapshot({ ...options, ...checkpoint }),
    };
  },
});
process.exit(exitCode);
