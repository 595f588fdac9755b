/** Generates the XML of EC2's replies. */

/** An element with text content. */
export function textElement(name: string, text: string | number | boolean): string {
  const escaped = String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
  return `<${name}>${escaped}</${name}>`;
}

/** An element with child elements. */
export function element(name: string, ...children: string[]): string {
  return `<${name}>${children.join('')}</${name}>`;
}

/** A document; `namespace` is undefined for errors. */
export function xmlDocument(root: string, namespace: string | undefined, ...children: string[]): string {
  const attribute = namespace === undefined ? '' : ` xmlns="${namespace}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${attribute}>${children.join('')}</${root}>`;
}
