import { badRegion, noRegion } from './messages.ts';
import { profileKey, type Settings } from './settings.ts';
import { readVariable } from './variables.ts';

/** A region is part of a host name. */
const REGION = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
/** An availability zone, with its region. */
const ZONE = /^([a-z]{2}(?:-[a-z]+)+-\d+)[a-z]$/;

/**
 * The region: the option, AWS_REGION, AWS_DEFAULT_REGION, else that of the profile.
 * @throws ColdsnapError class `usage` for a malformed option; class `config` for another malformed region, or none
 */
export function resolveRegion(option: string | undefined, settings: Settings): string {
  const candidates = [
    ['the region', option],
    ['AWS_REGION', readVariable('AWS_REGION')],
    ['AWS_DEFAULT_REGION', readVariable('AWS_DEFAULT_REGION')],
    [`the region of profile "${settings.profile}"`, profileKey(settings, 'region')],
  ] as const;
  const found = candidates.find(([, value]) => value !== undefined);
  if (found === undefined) throw noRegion(settings.profile);
  const [origin, region = ''] = found;
  const [, regionOfZone] = ZONE.exec(region) ?? [];
  if (regionOfZone !== undefined || !REGION.test(region))
    throw badRegion(origin, region, regionOfZone, option !== undefined);
  return region;
}
