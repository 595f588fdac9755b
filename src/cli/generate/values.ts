/** Values that completion scripts look up or know: regions, states, profiles, snapshots. */

/** AWS regions, for completion only: any region is accepted. */
export const regions: readonly string[] = [
  ...['af-south-1', 'ap-east-1', 'ap-east-2', 'ap-northeast-1', 'ap-northeast-2', 'ap-northeast-3'],
  ...['ap-south-1', 'ap-south-2', 'ap-southeast-1', 'ap-southeast-2', 'ap-southeast-3', 'ap-southeast-4'],
  ...['ap-southeast-5', 'ap-southeast-6', 'ap-southeast-7', 'ca-central-1', 'ca-west-1', 'cn-north-1'],
  ...[
    'cn-northwest-1',
    'eu-central-1',
    'eu-central-2',
    'eu-north-1',
    'eu-south-1',
    'eu-south-2',
    'eu-west-1',
  ],
  ...[
    'eu-west-2',
    'eu-west-3',
    'eusc-de-east-1',
    'il-central-1',
    'me-central-1',
    'me-south-1',
    'mx-central-1',
  ],
  ...['sa-east-1', 'us-east-1', 'us-east-2', 'us-gov-east-1', 'us-gov-west-1', 'us-west-1', 'us-west-2'],
];

/** EC2's states of a snapshot. */
export const snapshotStates: readonly string[] = [
  'pending',
  'completed',
  'error',
  'recoverable',
  'recovering',
];

/** Global options that decide which snapshots there are; the scripts pass them on. */
export const serviceOptions: readonly string[] = ['--region', '--profile', '--endpoint', '--ec2-endpoint'];

/** Prints the names of the profiles, in any POSIX shell and in fish. */
export const listProfiles = String.raw`sed -n -e 's/^[[:space:]]*\[profile[[:space:]][[:space:]]*"\([^]"]*\)"[[:space:]]*\].*/\1/p' -e 's/^[[:space:]]*\[profile[[:space:]][[:space:]]*\([^]"[:space:]]*\)[[:space:]]*\].*/\1/p' -e 's/^\[ *default *\].*/default/p' -- "$config" 2>/dev/null; sed -n -e 's/^\[ *\([^]]*[^] ]\) *\].*/\1/p' -- "$credentials" 2>/dev/null`;
