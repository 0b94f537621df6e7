import type { PlanFilter, PlannedDevice, PlanReason } from '@skerry/contracts'

/** What stands in the way, in an operator's words. */
const WORDS: Record<PlanFilter, string> = {
  capability: 'not enrolled for inference',
  runtime: 'without a TFLite runtime',
  variants: 'no variant may be served',
  operators: 'operators are missing',
  conversion: 'refused at conversion',
  benchmark: 'the benchmark failed',
  agreement: 'agrees too little with the original',
  accuracy: 'not accurate enough',
  memory: 'too little memory',
  latency: 'too slow, or not known to be fast enough'
}
/** The nearer to a choice, the later. */
const STAGES = Object.keys(WORDS) as PlanFilter[]

/**
 * For example: "12 devices: 7 get face 1 float32, 3 get face-small 1 full_int8; 2 get nothing: 1 operators are missing,
 * 1 too slow, or not known to be fast enough". A device counts under what its nearest variant failed by.
 */
export function summaryOf(devices: readonly PlannedDevice[], matched: number): string {
  const chosen = new Map<string, number>()
  const missed = new Map<PlanFilter, number>()
  for (const { model, version, variant, reasons } of devices)
    if (variant === null) count(missed, nearest(reasons))
    else count(chosen, `${model} ${version} ${variant}`)
  const without = [...missed.values()].reduce((sum, each) => sum + each, 0)
  const gets = sorted(chosen).map(([what, times]) => `${times} ${times === 1 ? 'gets' : 'get'} ${what}`)
  const why = sorted(missed).map(([filter, times]) => `${times} ${WORDS[filter]}`)
  const parts = gets.length === 0 ? [] : [gets.join(', ')]
  if (without > 0) parts.push(`${without} ${without === 1 ? 'gets' : 'get'} nothing: ${why.join(', ')}`)
  if (matched > devices.length) parts.push(`${matched - devices.length} more match and were not looked at`)
  if (matched === 0) return 'no device matches'
  return `${matched} ${matched === 1 ? 'device' : 'devices'}: ${parts.join('; ')}`
}

const nearest = (reasons: readonly PlanReason[]): PlanFilter =>
  reasons.reduce<PlanFilter>(
    (found, { filter }) => (STAGES.indexOf(filter) > STAGES.indexOf(found) ? filter : found),
    reasons[0]?.filter ?? 'variants'
  )

const count = <K>(counts: Map<K, number>, key: K): unknown => counts.set(key, (counts.get(key) ?? 0) + 1)
const sorted = <K>(counts: ReadonlyMap<K, number>): [K, number][] =>
  [...counts].sort(([a, one], [b, other]) => other - one || (String(a) < String(b) ? -1 : 1))
