/** One point at which an agent was killed, in words that a run of the tests always finds again. */
export type MatrixRow = { step: string; when: string; found: string; next: string }

const begin = '<!-- crash:begin -->'
const end = '<!-- crash:end -->'

export function crashTable(rows: readonly MatrixRow[]): string {
  const titles = ['step', 'killed when', 'found on the disk', 'after the restart, it']
  const cells = [titles, ...rows.map(({ step, when, found, next }) => [step, when, found, next])]
  // As the formatter sets tables.
  const widths = titles.map((_, at) => Math.max(...cells.map((row) => row[at]?.length ?? 0)))
  const rule = widths.map((width) => '-'.repeat(width))
  const [head, ...body] = cells.map((row) => row.map((cell, at) => cell.padEnd(widths[at] ?? 0)))
  return [head ?? [], rule, ...body].map((row) => `| ${row.join(' | ')} |`).join('\n')
}

/** @throws RangeError when the text has no marks. */
export function tableIn(text: string): string {
  const [from, to] = marks(text)
  return text.slice(from, to).trim()
}

/** @throws RangeError when the text has no marks. */
export function placeTable(text: string, table: string): string {
  const [from, to] = marks(text)
  return `${text.slice(0, from)}\n${table}\n${text.slice(to)}`
}

function marks(text: string): [number, number] {
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new RangeError(`The text has no ${begin} and ${end} to put the table between.`)
  return [from + begin.length, to]
}
