import type { AdmissionCandidate } from '../admission.ts'
import type { LatencyModel } from '../profiles/latency-model.ts'
import type { PendingWork } from './demand.ts'
import type { DeviceTable, Kind } from './device-table.ts'
import type { Line } from './line.ts'

/**
 * What work of this line would meet if it came now, for each kind of device that may do it: when a device of the kind is
 * free, and what the run then takes. Waiting work of its class with an earlier deadline, or of a higher class, goes first,
 * and is taken to be worked off evenly by all slots that may do it; work of other lines is not counted, so that what is
 * promised here is the earliest and not the certain time.
 */
export function outlookOf(
  line: Line,
  devices: DeviceTable,
  latency: LatencyModel,
  work: Pick<PendingWork, 'priority' | 'deadlineMs'>,
  nowMs: number
): AdmissionCandidate[] {
  const { artifact, device } = line.demand
  let fastestMs = Number.POSITIVE_INFINITY
  const kinds: { kind: number; waitMs: number }[] = []
  const each = (kind: number, freeIn: () => number) => {
    fastestMs = Math.min(fastestMs, Math.exp(latency.kindLogMs(kind, artifact)))
    kinds.push({ kind, waitMs: freeIn() })
  }
  if (device !== undefined) {
    if (line.eligibleCount > 0) each(devices.kindOf(device), () => devices.freeInMs(device, nowMs))
  } else
    for (let kind = 0; kind < devices.kinds.length; kind++)
      if (line.eligibleOfKind(kind) > 0) each(kind, () => kindFreeInMs(line, devices, kind, nowMs))
  const queueMs = (ahead(line, work) * fastestMs) / Math.max(1, line.eligibleCount)
  return kinds.map(({ kind, waitMs }) => {
    const { logMs, logSd } = latency.predictKind(kind, artifact)
    return { aheadMs: waitMs + queueMs, coldStartMs: 0, logMs, logSd }
  })
}

function kindFreeInMs(line: Line, devices: DeviceTable, kind: number, nowMs: number): number {
  const { free } = devices.kinds[kind] as Kind
  const eligible = line.eligibleBits(kind)
  for (let word = 0; word < Math.min(free.length, eligible.length); word++)
    if (((free[word] as number) & (eligible[word] as number)) !== 0) return 0
  // All that are eligible are busy: the first of the kind that should end stands for them.
  const soonest = devices.soonestFree(kind, nowMs, Number.POSITIVE_INFINITY)
  return soonest === undefined ? 0 : soonest.untilMs - nowMs
}

function ahead(line: Line, { priority, deadlineMs }: Pick<PendingWork, 'priority' | 'deadlineMs'>): number {
  let count = 0
  for (const lane of line.lanes)
    if (lane.priority > priority) count += lane.queue.size
    else if (lane.priority === priority) count += lane.queue.firstFrom(deadlineMs)
  return count
}
