/** SendCommand and the SSM Agent, as far as documents of deploy/ depend on them. */
import type { Environment } from '../support/workplace.ts';
import { type SsmDocument, ssmDocument } from './documents.ts';

/** Treats parameters as the service does: fills in defaults and refuses values that the document does not allow. */
export function checkParameters(
  { parameters }: SsmDocument,
  given: Readonly<Record<string, string>>,
): Record<string, string> {
  const unknown = Object.keys(given).find((name) => parameters[name] === undefined);
  if (unknown !== undefined) throw new Error(`InvalidParameters: ${unknown}`);
  const values = Object.entries(parameters).map(([name, parameter]) => {
    const value = given[name] ?? parameter.default;
    const allowed =
      value !== undefined &&
      new RegExp(parameter.allowedPattern).test(value) &&
      (parameter.allowedValues?.includes(value) ?? true);
    if (!allowed) throw new Error(`InvalidParameters: ${name}`);
    return [name, value];
  });
  return Object.fromEntries(values);
}

/** Treats parameters of interpolationType ENV_VAR as the agent does. */
export function agentEnvironment(values: Readonly<Record<string, string>>): Environment {
  return {
    AWS_SSM_REGION_NAME: 'us-east-1',
    ...Object.fromEntries(Object.entries(values).map(([name, value]) => [`SSM_${name}`, value])),
  };
}

/** The shell script of the document's only step. */
export const script: string = ssmDocument.mainSteps[0]!.inputs.runCommand.join('\n');
