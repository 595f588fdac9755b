/** Names of images for messages, before and after the library has opened them. */

export function targetLabel(path: string): string {
  return path === '-' ? 'stdout' : path;
}

export function sourceLabel(path: string): string {
  return path === '-' ? 'stdin' : path;
}
