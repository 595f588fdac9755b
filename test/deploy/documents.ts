/** The documents of deploy/, and the programs that they hold. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { project } from '../support/built.ts';

export const paths = {
  batch: join(project, 'deploy/batch.yaml'),
  ssm: join(project, 'deploy/ssm-restore.yaml'),
};

export interface EvaluateOnExit {
  readonly Action: 'RETRY' | 'EXIT';
  readonly OnExitCode?: string;
  readonly OnReason?: string;
  readonly OnStatusReason?: string;
}

interface BatchTemplate {
  readonly Resources: {
    readonly JobDefinition: {
      readonly Properties: {
        readonly RetryStrategy: { readonly Attempts: number; readonly EvaluateOnExit: EvaluateOnExit[] };
        readonly ContainerProperties: {
          readonly Command: [string, ...string[]];
          readonly Environment: readonly { readonly Name: string }[];
        };
      };
    };
  };
}

export interface SsmParameter {
  readonly type: string;
  readonly default?: string;
  readonly allowedPattern: string;
  readonly allowedValues?: readonly string[];
  readonly interpolationType: string;
}

export interface SsmDocument {
  readonly schemaVersion: string;
  readonly parameters: Readonly<Record<string, SsmParameter>>;
  readonly mainSteps: readonly {
    readonly action: string;
    readonly precondition: { readonly StringEquals: readonly string[] };
    readonly inputs: { readonly timeoutSeconds: string; readonly runCommand: readonly string[] };
  }[];
}

const read = (path: string): unknown => parse(readFileSync(path, 'utf8'), { logLevel: 'error' });

export const jobDefinition = (read(paths.batch) as BatchTemplate).Resources.JobDefinition.Properties;
export const ssmDocument = read(paths.ssm) as SsmDocument;
