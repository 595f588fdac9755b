/** Runs the command lines that it is sent, one at a time; a NUL and the exit code end the output of each. */
import { once } from 'node:events';
import { main } from '../../dist/cli/main.js';

/** The events that the command line listens to until its process ends. */
const listened = [
  ...['uncaughtException', 'warning', 'SIGHUP', 'SIGINT', 'SIGTERM'].map((event) => [process, event]),
  [process.stdout, 'error'],
  [process.stderr, 'error'],
].map(([emitter, event]) => ({ emitter, event, before: emitter.listeners(event) }));

process.on('disconnect', () => process.exit());
for (;;) {
  const [{ args, directory, env }] = await once(process, 'message');
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  process.chdir(directory);
  process.argv.splice(2, Infinity, ...args);
  const exitCode = await main();
  for (const { emitter, event, before } of listened) {
    emitter.removeAllListeners(event);
    for (const listener of before) emitter.on(event, listener);
  }
  process.stdout.write(`\0${exitCode}\n`);
  process.stderr.write(`\0${exitCode}\n`);
}
