/** Text that is HTML already. Everything else that a template takes in is escaped, so that no name can become markup. */
export class Markup {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

type Part = Markup | string | number | false | undefined | readonly Part[]

/** A template whose values are escaped, unless they are Markup; lists are joined, false and undefined are left out. */
export function markup(literals: TemplateStringsArray, ...parts: Part[]): Markup {
  let text = literals[0] ?? ''
  for (const [index, part] of parts.entries()) text += render(part) + (literals[index + 1] ?? '')
  return new Markup(text)
}

function render(part: Part): string {
  if (part === undefined || part === false) return ''
  if (part instanceof Markup) return part.text
  if (typeof part === 'string' || typeof part === 'number') return escapeText(String(part))
  return part.map(render).join('')
}

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

// Beside control characters and halves of pairs: those that turn the direction of the text after them.
const unprintable = /[\p{Cc}\p{Cs}\u061C\u200E\u200F\u2028\u2029\u202A-\u202E\u2066-\u2069\uFFFE\uFFFF]/gu

/** For element content and quoted attributes. What cannot be seen, or turns the text around, becomes U+FFFD. */
export function escapeText(text: string): string {
  return text
    .replace(unprintable, (character) => (character === '\n' || character === '\t' ? character : '\uFFFD'))
    .replace(/[&<>"']/g, (character) => entities[character] ?? character)
}
