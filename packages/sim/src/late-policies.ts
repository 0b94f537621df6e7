import { ActiveScheduler, type Demand, type PendingWork, type SchedulerConfig } from '@skerry/scheduler'
import type { Policy, PolicyWorld } from './world.ts'

/** Bound when a device is free, earliest deadline first, hopeless ones dropped: no score but the deadline. */
export const lateEdf = (world: PolicyWorld): Policy =>
  lateBound('late-edf', world, {
    urgency: 0,
    affinity: 0,
    shortness: 0,
    fairness: 0,
    thrift: 0,
    waitRatio: 0,
    deadlineOnly: true
  })

export const skerry =
  (config: Partial<SchedulerConfig> = {}) =>
  (world: PolicyWorld): Policy =>
    lateBound('skerry', world, config)

function lateBound(name: string, world: PolicyWorld, config: Partial<SchedulerConfig>): Policy {
  const { kindOf, model, deadlineMs, table, arrivalMs } = world.workload
  const scheduler = new ActiveScheduler(world.latency, {
    ...config,
    bound: Number.POSITIVE_INFINITY
  })
  kindOf.forEach((kind, device) => {
    scheduler.addDevice(device, kind, 1)
  })
  const demands: Demand[] = table.models.map((key, artifact) => ({
    key,
    artifact,
    admits: (device) => world.isUp(device) && world.holds(device, artifact)
  }))
  const works = new Map<number, PendingWork>()
  const start = (placement: { work: PendingWork; device: number } | null): boolean => {
    if (placement === null) return false
    const request = placement.work.order
    works.delete(request)
    scheduler.noteOutcome(placement.work.demand.artifact, false)
    world.start(request, placement.device)
    return true
  }
  let sweptMs = Number.NEGATIVE_INFINITY
  const sweep = () => {
    if (world.nowMs() === sweptMs) return
    sweptMs = world.nowMs()
    for (const work of scheduler.takeHopeless(sweptMs)) {
      works.delete(work.order)
      scheduler.noteOutcome(work.demand.artifact, true)
      world.refuse(work.order)
    }
  }
  const left = () => {
    let more = true
    while (more) more = start(scheduler.placeLeft(world.nowMs()))
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
    works.set(request, work)
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
      scheduler.setSlots(device, 1)
      start(scheduler.placeOn(device, world.nowMs()))
      left()
    },
    lost(device, request) {
      scheduler.setSlots(device, 0)
      scheduler.deviceChanged(device)
      if (request >= 0) arrived(request)
    },
    woken() {
      sweep()
      left()
    }
  }
}
