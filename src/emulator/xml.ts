/** As much XML as EC2's replies need. */

/** An element that holds text. */
export function textElement(name: string, text: string | number | boolean): string {
  const escaped = String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<${name}>${escaped}</${name}>`;
}

/** An element that holds other elements. */
export function element(name: string, ...children: string[]): string {
  return `<${name}>${children.join('')}</${name}>`;
}

/** A document whose root has the namespace of the EC2 API, unless it is an error. */
export function xmlDocument(root: string, namespace: string | undefined, ...children: string[]): string {
  const attribute = namespace === undefined ? '' : ` xmlns="${namespace}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${attribute}>${children.join('')}</${root}>`;
}
