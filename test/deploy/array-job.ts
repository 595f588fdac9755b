/** An array job of deploy/batch.yaml whose jobs run here, with a directory as its file system. */
import { mkdirSync, writeFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { type Environment, type Outcome, Workplace } from '../support/workplace.ts';
import { jobDefinition } from './documents.ts';

export class ArrayJob {
  readonly place: Workplace;
  readonly #lines: readonly string[];

  private constructor(place: Workplace, lines: readonly string[]) {
    this.place = place;
    this.#lines = lines;
    mkdirSync(place.path('efs'));
    writeFileSync(this.manifest, `${lines.join('\n')}\n`);
  }

  static async for(t: TestContext, lines: (place: Workplace) => Promise<string[]>): Promise<ArrayJob> {
    const place = await Workplace.for(t);
    return new ArrayJob(place, await lines(place));
  }

  get manifest(): string {
    return this.place.path('efs/manifest');
  }

  /** What Batch and the job definition set, with the directory of this array in place of the mounted file system. */
  #environment(index: number): Environment {
    const inArray = this.#lines.length > 1;
    return {
      AWS_ENDPOINT_URL: this.place.emulator.url,
      COLDSNAP_MANIFEST: this.manifest,
      STATE_DIRECTORY: this.place.path('efs/state'),
      AWS_BATCH_JOB_ARRAY_INDEX: inArray ? String(index) : undefined,
      AWS_BATCH_JOB_ARRAY_SIZE: inArray ? String(this.#lines.length) : undefined,
    };
  }

  /** Runs one job to its end. */
  run(
    index = 0,
    env: Environment = {},
    command = jobDefinition.ContainerProperties.Command,
  ): Promise<Outcome> {
    return this.place.run({ name: 'job', command }, [], { ...this.#environment(index), ...env });
  }

  /** Starts the first job. */
  start() {
    const { Command: command } = jobDefinition.ContainerProperties;
    return this.place.start({ name: 'job', command }, [], this.#environment(0));
  }
}
