import type { Expectation, ZooModel } from './zoo-model.ts'
import type { ZooRecord } from './zoo-record.ts'

/** One line per variant that came out otherwise than was known beforehand. */
export function deviationsOf(model: ZooModel, record: ZooRecord): string[] {
  const { refused } = record
  if (refused !== undefined) {
    const wanted = model.expectations.refused
    if (wanted !== undefined && meets(wanted, 'refused', `${refused.code} ${refused.message}`)) return []
    return [`${model.name}: refused (${refused.code}): ${refused.message}`]
  }
  const lines: string[] = []
  if (model.expectations.refused !== undefined) lines.push(`${model.name}: was to be refused, and was not`)
  for (const { variant, state, reason } of record.rows) {
    const wanted = model.expectations[variant] ?? model.expectations['*']
    if (wanted === undefined || meets(wanted, state, reason ?? '')) continue
    const words = wanted.reason === undefined ? '' : ` for ${wanted.reason}`
    lines.push(
      `${model.name} ${variant}: ${state}${reason === undefined ? '' : ` (${reason})`}; ` +
        `expected ${wanted.states.join(' or ')}${words}`
    )
  }
  return lines
}

const meets = ({ states, reason }: Expectation, state: Expectation['states'][number], words: string): boolean =>
  states.includes(state) && (reason === undefined || reason.test(words))
