import { ActiveScheduler, type Demand, type PendingWork, type Placement, type SchedulerConfig } from '@skerry/scheduler'
import type { Policy, PolicyWorld } from './world.ts'

const DEADLINE_ONLY: Partial<SchedulerConfig> = {
  weights: { device: { 'predicted-finish': 1, 'cold-start': 1 }, work: {} },
  waitRatio: 0,
  deadlineOnly: true
}

/**
 * Bound when a device is free, earliest deadline first; what no device can finish in time is dropped, and a device passes
 * over what only others can. New work goes to the free device that finishes it first.
 */
export const lateEdf = (world: PolicyWorld): Policy => lateBound('late-edf', world, DEADLINE_ONLY)

/** The weaker reading: a free device also drops what it cannot finish in time itself, although another could. */
export const lateEdfOwn = (world: PolicyWorld): Policy => lateBound('late-edf-own', world, DEADLINE_ONLY, true)

export const skerry =
  (config: Partial<SchedulerConfig> = {}) =>
  (world: PolicyWorld): Policy =>
    lateBound('skerry', world, config)

function lateBound(name: string, world: PolicyWorld, config: Partial<SchedulerConfig>, dropsOwn = false): Policy {
  const { kindOf, model, deadlineMs, table, arrivalMs } = world.workload
  const scheduler = new ActiveScheduler(
    world.latency,
    { ...config, bound: Number.POSITIVE_INFINITY },
    world.hasColdStarts ? world.coldMs : undefined
  )
  kindOf.forEach((kind, device) => {
    scheduler.addDevice(device, kind, 1)
    scheduler.setLoaded(device, world.loaded(device))
  })
  const demands: Demand[] = table.models.map((key, artifact) => ({
    key,
    artifact,
    admits: (device) => world.isUp(device) && world.holds(device, artifact)
  }))
  const start = (placement: Placement | null): boolean => {
    if (placement === null) return false
    scheduler.noteOutcome(placement.work.demand.artifact, false, world.nowMs())
    world.start(placement.work.order, placement.device)
    return true
  }
  const drop = (work: PendingWork) => {
    scheduler.noteOutcome(work.demand.artifact, true, world.nowMs())
    world.refuse(work.order)
  }
  let sweptMs = Number.NEGATIVE_INFINITY
  const sweep = () => {
    if (world.nowMs() === sweptMs) return
    sweptMs = world.nowMs()
    for (const work of scheduler.takeHopeless(sweptMs)) drop(work)
  }
  let lookMs = Number.POSITIVE_INFINITY
  const left = () => {
    let more = true
    while (more) more = start(scheduler.placeLeft(world.nowMs()))
    // Work that was left for a busy device is looked at again when that device is late.
    if (lookMs <= world.nowMs()) lookMs = Number.POSITIVE_INFINITY
    const nextMs = scheduler.nextLookMs()
    if (nextMs >= lookMs) return
    lookMs = Math.max(nextMs, world.nowMs())
    if (nextMs > world.nowMs()) world.wakeAt(nextMs)
  }
  const dropOwn = (device: number) => {
    const isUsable = (demand: Demand) => demand.admits(device)
    for (;;) {
      let first: PendingWork | undefined
      for (const demand of demands.filter(isUsable))
        for (const work of scheduler.waitingOf(demand.key)) {
          if (first === undefined || work.deadlineMs < first.deadlineMs) first = work
          break
        }
      if (first === undefined) return
      const ms = world.coldMs(device, first.demand.artifact) + world.latency.expectedMs(device, first.demand.artifact)
      if (world.nowMs() + ms <= first.deadlineMs) return
      scheduler.forget(first)
      drop(first)
    }
  }
  const arrived = (request: number) => {
    const work: PendingWork = {
      id: String(request),
      order: request,
      demand: demands[model[request] as number] as Demand,
      priority: 0,
      deadlineMs: deadlineMs[request] as number,
      submittedAtMs: arrivalMs[request] as number
    }
    scheduler.offer(work)
    if (scheduler.freeSlots > 0 && start(scheduler.placeNew(work, world.nowMs()))) return
    // Nobody may ever free up to sweep it: its last moment is looked at.
    world.wakeAt(work.deadlineMs)
  }
  return {
    name,
    arrived,
    freed(device) {
      scheduler.deviceChanged(device)
      scheduler.setLoaded(device, world.loaded(device))
      scheduler.setSlots(device, 1)
      if (dropsOwn) dropOwn(device)
      start(scheduler.placeOn(device, world.nowMs()))
      left()
    },
    lost(device, request) {
      scheduler.setSlots(device, 0)
      scheduler.setLoaded(device, [])
      scheduler.deviceChanged(device)
      if (request >= 0) arrived(request)
    },
    woken() {
      sweep()
      left()
    }
  }
}
