import type { AdmissionCandidate } from '../admission.ts'
import type { LatencyModel } from '../profiles/latency-model.ts'
import { firstCommon } from './bitmap.ts'
import type { PendingWork } from './demand.ts'
import type { DeviceTable, Kind } from './device-table.ts'
import type { Line } from './line.ts'
import type { Residency } from './residency.ts'

/** Of the devices of a kind that have the artifact loaded, or would have to load it, so many stand for all. */
const TRIED = 32

type Way = { device: number; waitMs: number; coldStartMs: number }

/**
 * What work of this line would meet if it came now, for each kind of device that may do it: when a device of the kind is
 * free, what a cold start there adds, and what the run then takes; where the artifact is loaded on some of a kind only,
 * the kind comes twice. Waiting work of its class with an earlier deadline, or of a higher class, goes first, and is taken
 * to be worked off evenly by all slots that may do it; work of other lines is not counted, so that what is promised here is
 * the earliest and not the certain time.
 */
export function outlookOf(
  line: Line,
  devices: DeviceTable,
  latency: LatencyModel,
  residency: Residency,
  work: Pick<PendingWork, 'priority' | 'deadlineMs'>,
  nowMs: number
): AdmissionCandidate[] {
  const { artifact, device } = line.demand
  const ways: Way[] = []
  if (device !== undefined) {
    if (line.eligibleCount > 0)
      ways.push({
        device,
        waitMs: devices.freeInMs(device, nowMs),
        coldStartMs: residency.coldMs(device, artifact)
      })
  } else
    for (let kind = 0; kind < devices.kinds.length; kind++) {
      if (line.eligibleOfKind(kind) === 0) continue
      if (residency.matters) ways.push(...waysOfKind(line, devices, residency, kind, nowMs))
      else ways.push(soonestOfKind(line, devices, latency, kind, nowMs))
    }
  const fastestMs = ways.reduce(
    (least, { device }) => Math.min(least, Math.exp(latency.kindLogMs(devices.kindOf(device), artifact))),
    Number.POSITIVE_INFINITY
  )
  const queueMs = (ahead(line, work) * fastestMs) / Math.max(1, line.eligibleCount)
  return ways.map(({ device, waitMs, coldStartMs }) => {
    const { logMs, logSd } = latency.predict(device, artifact)
    return { aheadMs: waitMs + queueMs, coldStartMs, logMs, logSd }
  })
}

/** The free device in the best form, else the one that is free first: on a hot day all of a kind may be slow. */
function soonestOfKind(line: Line, devices: DeviceTable, latency: LatencyModel, kind: number, nowMs: number): Way {
  const { free, members } = devices.kinds[kind] as Kind
  const eligible = line.eligibleBits(kind)
  let best: number | undefined
  let place = firstCommon(free, eligible)
  for (let tried = 0; place >= 0 && tried < TRIED; tried++) {
    const device = members[place] as number
    if (best === undefined || latency.deviceLogFactor(device) < latency.deviceLogFactor(best)) best = device
    place = firstCommon(free, eligible, place + 1)
  }
  if (best !== undefined) return { device: best, waitMs: 0, coldStartMs: 0 }
  // All that are eligible are busy: the first of the kind that should end stands for them.
  const soonest = devices.soonestFree(kind, nowMs, Number.POSITIVE_INFINITY)
  if (soonest !== undefined) return { device: soonest.device, waitMs: soonest.untilMs - nowMs, coldStartMs: 0 }
  return { device: members[firstCommon(eligible, eligible)] as number, waitMs: 0, coldStartMs: 0 }
}

/** The soonest with the artifact loaded, and the soonest with the least cold start. */
function waysOfKind(line: Line, devices: DeviceTable, residency: Residency, kind: number, nowMs: number): Way[] {
  const { artifact } = line.demand
  const { members } = devices.kinds[kind] as Kind
  const eligible = line.eligibleBits(kind)
  const loaded = residency.places(artifact, kind)
  const ways: Way[] = []
  const consider = (place: number) => {
    const device = members[place] as number
    const way = { device, waitMs: devices.freeInMs(device, nowMs), coldStartMs: residency.coldMs(device, artifact) }
    const at = ways.findIndex(({ coldStartMs }) => coldStartMs > 0 === way.coldStartMs > 0)
    const known = ways[at]
    if (known === undefined) ways.push(way)
    else if (way.waitMs + way.coldStartMs < known.waitMs + known.coldStartMs) ways[at] = way
  }
  let place = firstCommon(eligible, loaded)
  for (let tried = 0; place >= 0 && tried < TRIED; tried++) {
    consider(place)
    place = firstCommon(eligible, loaded, place + 1)
  }
  place = firstCommon(eligible, eligible)
  for (let tried = 0; place >= 0 && tried < TRIED; tried++) {
    consider(place)
    place = firstCommon(eligible, eligible, place + 1)
  }
  return ways
}

function ahead(line: Line, { priority, deadlineMs }: Pick<PendingWork, 'priority' | 'deadlineMs'>): number {
  let count = 0
  for (const lane of line.lanes)
    if (lane.priority > priority) count += lane.queue.size
    else if (lane.priority === priority) count += lane.queue.firstFrom(deadlineMs)
  return count
}
