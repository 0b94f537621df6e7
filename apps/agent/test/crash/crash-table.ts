import { markdownTable } from '../../../../packages/model-zoo/src/markdown.ts'

/** One point at which an agent was killed, in words that a run of the tests always finds again. */
export type MatrixRow = { step: string; when: string; found: string; next: string }

export function crashTable(rows: readonly MatrixRow[]): string {
  const head = ['step', 'killed when', 'found on the disk', 'after the restart, it']
  return markdownTable(
    head,
    rows.map(({ step, when, found, next }) => [step, when, found, next])
  )
}
