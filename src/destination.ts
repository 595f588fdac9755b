/** Where a copy goes, by what is given for its source and for its destination. */

/** How a service is reached. */
interface Side {
  readonly region?: string | undefined;
  readonly profile?: string | undefined;
  readonly endpoint?: string | undefined;
  readonly ebsEndpoint?: string | undefined;
  readonly ec2Endpoint?: string | undefined;
  readonly ebsClient?: object | undefined;
  readonly ec2Client?: object | undefined;
}

const endpoints = ['endpoint', 'ebsEndpoint', 'ec2Endpoint', 'ebsClient', 'ec2Client'] as const;

/**
 * The source with its region, profile, endpoints and clients replaced. Region and profile that are not given are the source's.
 * An endpoint or client belongs to one region and account: all are the source's only if neither they nor another region or
 * profile is given.
 */
export function destinationOf<Source extends Side>(source: Source, to: Side = {}): Source {
  const region = to.region ?? source.region;
  const profile = to.profile ?? source.profile;
  const elsewhere = region !== source.region || profile !== source.profile;
  const from = elsewhere || endpoints.some((name) => to[name] !== undefined) ? to : source;
  return { ...source, region, profile, ...Object.fromEntries(endpoints.map((name) => [name, from[name]])) };
}
