/** Endpoint URLs that replace those of AWS. */
import { badConfiguredEndpoint, badEndpoint, servicesMissing } from './messages.ts';
import { profileKey, readSwitch, type Settings } from './settings.ts';
import { readVariable } from './variables.ts';

export type ServiceName = 'ebs' | 'ec2' | 'sts' | 'sso' | 'sso_oidc';

const serviceVariables = {
  ebs: 'AWS_ENDPOINT_URL_EBS',
  ec2: 'AWS_ENDPOINT_URL_EC2',
  sts: 'AWS_ENDPOINT_URL_STS',
  sso: 'AWS_ENDPOINT_URL_SSO',
  sso_oidc: 'AWS_ENDPOINT_URL_SSO_OIDC',
} as const;

/**
 * The endpoint of a service: the option, the service's variable, AWS_ENDPOINT_URL, the service's entry in the `services`
 * section of the profile, else `endpoint_url` of the profile.
 *
 * @returns undefined for AWS's own endpoint
 * @throws ColdsnapError class `usage` for an option that is no URL, class `config` for a setting that is none
 */
export function resolveEndpoint(
  service: ServiceName,
  option: string | undefined,
  settings: Settings,
): string | undefined {
  if (option !== undefined) {
    if (!isUrl(option)) throw badEndpoint(option);
    return withoutSlash(option);
  }
  if (readSwitch(settings, 'AWS_IGNORE_CONFIGURED_ENDPOINT_URLS', 'ignore_configured_endpoint_urls')) {
    return undefined;
  }
  const variable = serviceVariables[service];
  const candidates = [
    [variable, readVariable(variable)],
    ['AWS_ENDPOINT_URL', readVariable('AWS_ENDPOINT_URL')],
    [`${service} endpoint_url of the services section`, serviceEntry(service, settings)],
    [`endpoint_url of profile "${settings.profile}"`, profileKey(settings, 'endpoint_url')],
  ] as const;
  const found = candidates.find(([, value]) => value !== undefined);
  if (found === undefined) return undefined;
  const [origin, url = ''] = found;
  if (!isUrl(url)) throw badConfiguredEndpoint(origin, url);
  return withoutSlash(url);
}

function serviceEntry(service: ServiceName, settings: Settings): string | undefined {
  const name = profileKey(settings, 'services');
  if (name === undefined) return undefined;
  const section = settings.services[name];
  if (section === undefined) throw servicesMissing(name, settings.profile);
  return section[`${service}.endpoint_url`] || undefined;
}

function isUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:$/.test(new URL(text).protocol) && /^https?:\/\//i.test(text);
}

/** The SDK adds its own slash after the path. */
function withoutSlash(url: string): string {
  return url.replace(/\/+$/, '');
}
