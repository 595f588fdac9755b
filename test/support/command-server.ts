/** Runs many command lines in one process: to start one takes longer than most command lines that are refused. */
import { type ChildProcess, fork } from 'node:child_process';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Environment, Outcome } from './workplace.ts';

const program = fileURLToPath(new URL('serve-commands.js', import.meta.url));

/** The installed command line in a process of its own, with an empty stdin, and pipes as stdout and stderr. */
export class CommandServer {
  readonly #process: ChildProcess = fork(program, {
    execArgv: [],
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
  });
  /** One runs at a time, because they share a current directory, an environment and streams. */
  #last: Promise<unknown> = Promise.resolve();

  /** Runs a command line to its end. Rejects if it ends the process. */
  run(args: readonly string[], directory: string, env: Environment): Promise<Outcome> {
    const outcome = this.#last.then(async () => {
      const { stdout, stderr } = this.#process;
      const output = Promise.all([readOutput(stdout!), readOutput(stderr!)]);
      this.#process.send({ args, directory, env });
      const [out, error] = await output;
      return { exit: out.exitCode, stdout: out.text, stderr: error.text };
    });
    this.#last = outcome.catch(() => {});
    return outcome;
  }

  close(): void {
    this.#process.kill();
  }
}

/** Reads the output of a command line, up to the NUL and the exit code that end it. */
function readOutput(stream: Readable): Promise<{ text: string; exitCode: number }> {
  return new Promise((resolve, reject) => {
    let all = '';
    const onData = (chunk: Buffer) => {
      all += chunk;
      const [, text, exitCode] = /^([^\0]*)\0(\d+)\n$/.exec(all) ?? [];
      if (text === undefined) return;
      stream.off('data', onData).off('end', onEnd);
      resolve({ text, exitCode: Number(exitCode) });
    };
    const onEnd = () => reject(new Error(`the process ended: ${all}`));
    stream.on('data', onData).on('end', onEnd);
  });
}
