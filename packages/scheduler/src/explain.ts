import { FILTERS } from './filters/index.ts'
import type { DeviceSnapshot, Filter, SchedulingContext, WorkRequest } from './framework.ts'
import { DEFAULT_WEIGHTS, SCORES, type ScoreWeights } from './scores/index.ts'

const EXAMPLES = 5
const CANDIDATES = 10

/** contract.md's explanation. */
export type Explanation = {
  summary: string
  rejected: { filter: string; reason: string; count: number; examples: string[] }[]
  candidates: { device: string; predictedFinishMs: number; scores: Record<string, number>; chosen: boolean }[]
}
export type Rejection = { filter: string; reason: string }

/** The first filter that says no, or null: the device may do the work. */
export function firstRejection(
  work: WorkRequest,
  device: DeviceSnapshot,
  context: SchedulingContext,
  filters: readonly Filter[] = FILTERS
): Rejection | null {
  for (const filter of filters) {
    const reason = filter.reject(work, device, context)
    if (reason !== null) return { filter: filter.name, reason }
  }
  return null
}

/** Every device once, either rejected or a candidate; `chosen` is where the work went, or null while it waits. */
export function explain(
  work: WorkRequest,
  devices: readonly DeviceSnapshot[],
  context: SchedulingContext,
  chosen: string | null = null,
  weights: ScoreWeights = DEFAULT_WEIGHTS
): Explanation {
  const rejected = new Map<string, Explanation['rejected'][number]>()
  const able: (Explanation['candidates'][number] & { total: number; free: boolean; aheadMs: number })[] = []
  for (const device of devices) {
    const rejection = firstRejection(work, device, context)
    if (rejection !== null) {
      const key = `${rejection.filter}\n${rejection.reason}`
      const entry = rejected.get(key) ?? { ...rejection, count: 0, examples: [] }
      entry.count += 1
      if (entry.examples.length < EXAMPLES) entry.examples.push(device.id)
      rejected.set(key, entry)
      continue
    }
    const scores = Object.fromEntries(SCORES.map((score) => [score.name, score.cost(work, device, context)]))
    const total = SCORES.reduce((sum, { name }) => sum + (weights[name] ?? 0) * (scores[name] as number), 0)
    const predictedFinishMs = (scores['predicted-finish'] as number) + (scores['cold-start'] as number)
    const aheadMs = context.workAheadMs(device)
    const isChosen = device.id === chosen
    able.push({
      device: device.id,
      predictedFinishMs,
      scores,
      chosen: isChosen,
      total,
      free: device.freeSlots > 0,
      aheadMs
    })
  }
  const byCount = [...rejected.values()].sort((a, b) => b.count - a.count || (a.reason < b.reason ? -1 : 1))
  able.sort((a, b) => Number(b.chosen) - Number(a.chosen) || a.total - b.total || (a.device < b.device ? -1 : 1))
  const busy = able.filter(({ free }) => !free)
  const nextFreeMs = Math.min(...busy.map(({ aheadMs }) => aheadMs))
  const parts = byCount.map(({ count, filter, reason }) => `${count} ${words(filter, reason)}`)
  if (busy.length > 0) parts.push(`${busy.length} busy, next free in about ${Math.round(nextFreeMs)} ms`)
  if (able.length > busy.length) parts.push(`${able.length - busy.length} free`)
  const outcome = chosen === null ? '' : `; placed on ${chosen}`
  return {
    summary: `${devices.length} ${devices.length === 1 ? 'device' : 'devices'}${parts.length > 0 ? ': ' : ''}${parts.join(', ')}${outcome}`,
    rejected: byCount,
    candidates: able.slice(0, CANDIDATES).map(({ device, predictedFinishMs, scores, chosen: isChosen }) => ({
      device,
      predictedFinishMs,
      scores,
      chosen: isChosen
    }))
  }
}

const words = (filter: string, reason: string): string => (filter === 'state' ? reason : `${filter}: ${reason}`)
