import { markdownTable } from '../../../model-zoo/src/markdown.ts'
import type { Judgement, Row } from './try-candidates.ts'

/** Harm that was called ready, and what does no harm and was rejected. What the large set cannot tell is neither. */
export const isFalseAccept = (row: Row, judgement: Judgement): boolean =>
  row.truth.harm === 'harmful' && judgement.state === 'ready'
export const isFalseReject = (row: Row, judgement: Judgement): boolean =>
  row.truth.harm === 'harmless' && judgement.state === 'rejected'

type Way = 'labelled' | 'unlabelled' | 'generated'

export type Figures = { judged: number; falseAccepts: string[]; falseRejects: string[] }

export const describeRow = ({ model, variant, fault }: Row): string => `${model} ${variant} ${fault}`

/** Of the rows that are judged in this way. On generated inputs alone nothing is ever ready. */
export function figuresOf(rows: readonly Row[], way: Way): Figures {
  const figures: Figures = { judged: 0, falseAccepts: [], falseRejects: [] }
  for (const row of rows) {
    const judgement = row[way]
    if (judgement === undefined) continue
    figures.judged++
    if (isFalseAccept(row, judgement)) figures.falseAccepts.push(describeRow(row))
    if (isFalseReject(row, judgement)) figures.falseRejects.push(describeRow(row))
  }
  return figures
}

const marks = { harmful: '✗', harmless: '✓', borderline: '~' } as const
const recipeMarks = { float32: 'f32', float16: 'f16', dynamic_int8: 'dyn', full_int8: 'int8', int16x8: '16x8' } as const

/** One line a fault, one column a model: what is true of each variant and what the judge said, where that differs. */
export function mutationTable(rows: readonly Row[], about: ReadonlyMap<string, string>): string {
  const models = [...new Set(rows.map(({ model }) => model))]
  const faults = [...new Set(rows.map(({ fault }) => fault))]
  const cell = (fault: string, model: string): string =>
    rows
      .filter((row) => row.fault === fault && row.model === model)
      .map((row) => `${recipeMarks[row.variant]} ${marks[row.truth.harm]}${wrong(row)}`)
      .join(', ')
  const lines = [
    ...models.map((model) => `- ${model}: ${about.get(model)}.`),
    '',
    markdownTable(
      ['fault', ...models],
      faults.map((fault) => [fault, ...models.map((model) => cell(fault, model) || '·')])
    ),
    '',
    ...summary(rows)
  ]
  return lines.join('\n')
}

function wrong(row: Row): string {
  const notes = (['labelled', 'unlabelled'] as const).flatMap((way) => {
    const judgement = row[way]
    if (judgement === undefined) return []
    if (isFalseAccept(row, judgement)) return [`accepted ${words[way]}`]
    if (isFalseReject(row, judgement)) return [`rejected ${words[way]}`]
    return []
  })
  return notes.length === 0 ? '' : ` (**${notes.join(', ')}**)`
}

const words = { labelled: 'with labels', unlabelled: 'without labels', generated: 'on generated inputs' } as const

function summary(rows: readonly Row[]): string[] {
  const line = (what: string, { judged, falseAccepts, falseRejects }: Figures): string[] => [
    what,
    ...[judged, falseAccepts.length, falseRejects.length].map(String)
  ]
  const classifiers = rows.filter(({ labelled }) => labelled !== undefined)
  const others = rows.filter(({ labelled }) => labelled === undefined)
  const found = rows.filter(({ truth, generated }) => truth.harm === 'harmful' && generated.state === 'rejected').length
  const harmful = rows.filter(({ truth }) => truth.harm === 'harmful').length
  return [
    markdownTable(
      ['the judge has', 'judged', 'false accepts', 'false rejects'],
      [
        line('labelled models: data and labels', figuresOf(classifiers, 'labelled')),
        line('the same models: data without labels', figuresOf(classifiers, 'unlabelled')),
        line('models without labels: data', figuresOf(others, 'unlabelled')),
        line('all: generated inputs alone', figuresOf(rows, 'generated'))
      ]
    ),
    '',
    `Generated inputs alone find ${found} of the ${harmful} harmful ones; nothing is ready by them.`
  ]
}
