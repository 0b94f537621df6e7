import { type Cell, type Comparison, compare } from './matrix.ts'
import { asFactor } from './prediction.ts'

/*
 * Tables that a command writes into a document, between <!-- NAME:begin --> and <!-- NAME:end -->, as the formatter sets
 * them, so that a table that is written again shows only what has changed.
 */

/** Failed %, its confidence interval, and the worst-served model's, by policy and cell. */
export function failureTable(cells: readonly Cell[]): string {
  const names = cells[0]?.policies.map((each) => each.name) ?? []
  const head = ['failed % (worst model)', ...cells.map(({ deadline, load }) => `${deadline}x, ${load}`)]
  return markdownTable(
    head,
    names.map((name) => [
      name,
      ...cells.map(({ policies }) => {
        const own = policies.find((each) => each.name === name)
        if (own === undefined) return ''
        const half = own.ci95.failedPercent > 0 ? ` ±${own.ci95.failedPercent.toFixed(1)}` : ''
        return `${own.failedPercent.toFixed(1)}${half} (${own.worstModelFailedPercent.toFixed(0)})`
      })
    ])
  )
}

/** `skerry` beside its two strong peers, and the bound; and how far its runs were from what it predicted. */
export function comparisonTable(cells: readonly Cell[]): string {
  const head = [
    'deadline, load',
    'of predicted-finish-refuse',
    'seeds no worse',
    'of late-edf',
    'seeds no worse',
    'worst model beside the better of both',
    'any schedule fails at least',
    'p90 of run over prediction'
  ]
  const rows = cells.flatMap((cell) => {
    const refuse = compare(cell, 'skerry', 'predicted-finish-refuse')
    const edf = compare(cell, 'skerry', 'late-edf')
    if (refuse === null || edf === null) return []
    const share = ({ ratio }: Comparison) => (Number.isFinite(ratio) ? ratio.toFixed(2) : '-')
    const won = ({ noWorse, seeds }: Comparison) => `${noWorse} of ${seeds}`
    const better = Math.min(refuse.worstModel[1], edf.worstModel[1])
    const bound = cell.boundGoodputPercent
    return [
      [
        `${cell.deadline}x, ${cell.load}`,
        share(refuse),
        won(refuse),
        share(edf),
        won(edf),
        `${edf.worstModel[0].toFixed(1)} to ${better.toFixed(1)}`,
        bound === null ? '-' : `${(100 - bound).toFixed(2)} %`,
        asFactor(cell.policies.find(({ name }) => name === 'skerry')?.predictionError.p90 ?? Number.NaN)
      ]
    ]
  })
  return markdownTable(head, rows)
}

export function markdownTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, at) => Math.max(3, ...[head, ...rows].map((cells) => cells[at]?.length ?? 0)))
  const lines = [head, widths.map((width) => '-'.repeat(width)), ...rows]
  return lines.map((cells) => `| ${cells.map((each, at) => each.padEnd(widths[at] ?? 0)).join(' | ')} |`).join('\n')
}

/** Puts the content between the marks. @throws RangeError when the text has none. */
export function placeSection(text: string, name: string, content: string): string {
  const begin = `<!-- ${name}:begin -->`
  const end = `<!-- ${name}:end -->`
  const from = text.indexOf(begin)
  const to = text.indexOf(end)
  if (from < 0 || to < from) throw new RangeError(`The text has no ${begin} and ${end} to put the table between.`)
  return `${text.slice(0, from + begin.length)}\n\n${content}\n\n${text.slice(to)}`
}
