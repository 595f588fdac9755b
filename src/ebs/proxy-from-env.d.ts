declare module 'proxy-from-env' {
  /** The proxy for a URL by `*_PROXY` and `NO_PROXY`, or an empty string. */
  export function getProxyForUrl(url: string): string;
}
