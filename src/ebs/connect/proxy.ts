/** Which proxy a request uses, by the rules of curl. */
import { BlockList, isIP } from 'node:net';
import { badProxy } from './proxy-messages.ts';

export interface ProxySettings {
  /** With scheme, port and, escaped, user and password. */
  readonly href: string;
  /** Host and port, for messages. */
  readonly name: string;
  readonly scheme: string;
  /** Whether it has a user, and perhaps a password. */
  readonly hasLogin: boolean;
  /** The variable it is from. */
  readonly variable: string;
}

type ProxyVariable = 'HTTP_PROXY' | 'HTTPS_PROXY' | 'ALL_PROXY';

/** With curl's default port for each. */
const schemes: Readonly<Record<string, number>> = {
  http: 1080,
  https: 443,
  socks: 1080,
  socks4: 1080,
  socks4a: 1080,
  socks5: 1080,
  socks5h: 1080,
};

/** Whether any variable names a proxy. */
export function proxyConfigured(): boolean {
  return (['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY'] as const).some((name) => readEither(name) !== undefined);
}

/**
 * The proxy for a URL: that of its scheme or else of ALL_PROXY, unless NO_PROXY lists the host. Lower-case names take
 * precedence over upper-case ones.
 *
 * @throws ColdsnapError class `config`, code `BAD_PROXY`
 */
export function proxyFor(url: URL): ProxySettings | undefined {
  const ofScheme: ProxyVariable = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const found = readEither(ofScheme) ?? readEither('ALL_PROXY');
  if (found === undefined || isExcluded(url, readEither('NO_PROXY')?.value ?? '')) return undefined;
  return parseProxy(found.variable, found.value);
}

function readEither(name: ProxyVariable | 'NO_PROXY'): { variable: string; value: string } | undefined {
  for (const variable of [name.toLowerCase(), name]) {
    const value = process.env[variable]?.trim();
    if (value) return { variable, value };
  }
  return undefined;
}

function parseProxy(variable: string, value: string): ProxySettings {
  const [, given = 'http', rest = ''] = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.*)$/i.exec(value) ?? [];
  const scheme = given.toLowerCase();
  const port = schemes[scheme];
  if (port === undefined) throw badProxy(variable, `has the unknown scheme "${scheme}"`);
  // The URL class treats other schemes differently, and drops the default port of http.
  const text = `http://${rest}`;
  if (!URL.canParse(text)) throw badProxy(variable, 'is not a URL');
  const url = new URL(text);
  if (!isEscaped(url.username) || !isEscaped(url.password)) {
    throw badProxy(variable, 'has a user or password with a "%" that is not escaped as "%25"');
  }
  const authority = rest.split(/[/?#]/, 1)[0] ?? '';
  const [, explicit] = /:(\d+)$/.exec(authority) ?? [];
  const hasLogin = url.username !== '';
  const user = hasLogin ? `${url.username}:${url.password}@` : '';
  const name = `${url.hostname}:${explicit ?? port}`;
  return { href: `${scheme}://${user}${name}`, name, scheme, hasLogin, variable };
}

function isEscaped(text: string): boolean {
  return !/%(?![0-9a-f]{2})/i.test(text);
}

/**
 * Entries are separated by commas or spaces: `*`, a host name that includes its subdomains, with or without a leading
 * dot or `*.`, an address, a range such as 10.0.0.0/8; each but the first may end in a port.
 */
function isExcluded(url: URL, list: string): boolean {
  const host = url.hostname
    .replace(/^\[(.*)\]$/, '$1')
    .replace(/\.$/, '')
    .toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  return list
    .toLowerCase()
    .split(/[\s,]+/)
    .some((entry) => {
      if (entry === '') return false;
      if (entry === '*') return true;
      const [, bracketed, name = '', ofPort] = /^(?:\[([^\]]*)\]|(.*?))(?::(\d+))?$/.exec(entry) ?? [];
      // A bare IPv6 address has colons of its own.
      if (isIP(entry) === 6 || isRange(entry)) return matchesAddress(host, entry);
      if (ofPort !== undefined && ofPort !== port) return false;
      const pattern = bracketed ?? name;
      return isIP(host) === 0 ? matchesName(host, pattern) : matchesAddress(host, pattern);
    });
}

function matchesName(host: string, pattern: string): boolean {
  const suffix = pattern.replace(/^\*?\./, '').replace(/\.$/, '');
  return suffix !== '' && (host === suffix || host.endsWith(`.${suffix}`));
}

function isRange(entry: string): boolean {
  return /^[\da-f.:]+\/\d{1,3}$/.test(entry);
}

function matchesAddress(host: string, pattern: string): boolean {
  const family = isIP(host);
  const [address = '', bits] = pattern.split('/');
  if (family === 0 || isIP(address) !== family) return false;
  const prefix = bits === undefined ? (family === 4 ? 32 : 128) : Number(bits);
  if (prefix > (family === 4 ? 32 : 128)) return false;
  const type = family === 4 ? 'ipv4' : 'ipv6';
  const range = new BlockList();
  range.addSubnet(address, prefix, type);
  return range.check(host, type);
}
