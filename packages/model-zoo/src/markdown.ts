/*
 * Tables that a command writes into a document, between <!-- NAME:begin --> and <!-- NAME:end -->, as the formatter sets
 * them, so that a table that is written again shows only what has changed.
 */

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, at) => Math.max(3, ...[head, ...rows].map((cells) => cells[at]?.length ?? 0)))
  const lines = [head, widths.map((width) => '-'.repeat(width)), ...rows]
  return lines.map((cells) => `| ${cells.map((each, at) => each.padEnd(widths[at] ?? 0)).join(' | ')} |`).join('\n')
}

/** What stands between the marks. @throws RangeError when the text has none. */
export function sectionOf(text: string, name: string): string {
  const [from, to] = marks(text, name)
  return text.slice(from, to).trim()
}

/** Puts the content between the marks. @throws RangeError when the text has none. */
export function placeSection(text: string, name: string, content: string): string {
  const [from, to] = marks(text, name)
  return `${text.slice(0, from)}\n${content}\n${text.slice(to)}`
}

function marks(text: string, name: string): [number, number] {
  const begin = `<!-- ${name}:begin -->`
  const end = `<!-- ${name}:end -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new RangeError(`The text has no ${begin} and ${end} to put the table between.`)
  return [from + begin.length, to]
}
