import { seededRandom } from './random.ts'
import type { Policy, PolicyWorld } from './world.ts'

type Choose = (request: number, candidates: ArrivalState) => number
type ArrivalState = { up(model: number): number[]; queued: Int32Array; finishMs(device: number, model: number): number }

/** A request is bound to a device when it comes, and waits in that device's queue. */
function boundAtArrival(name: string, world: PolicyWorld, choose: Choose, refuses: boolean): Policy {
  const { kindOf, model, deadlineMs } = world.workload
  const queues: number[][] = Array.from({ length: kindOf.length }, () => [])
  const heads = new Int32Array(kindOf.length)
  const queued = new Int32Array(kindOf.length)
  /** When the device will have done what it was given, by our profiles. */
  const busyUntilMs = new Float64Array(kindOf.length)
  const away = new Set<number>()
  const holders = new Map<number, number[]>()
  const up = (m: number): number[] => {
    let held = holders.get(m)
    if (held === undefined) {
      held = Array.from(kindOf.keys()).filter((d) => world.isUp(d) && world.holds(d, m))
      holders.set(m, held)
    }
    return held
  }
  const expectedMs = (device: number, m: number) => world.coldMs(device, m) + world.latency.expectedMs(device, m)
  const finishMs = (device: number, m: number) =>
    Math.max(busyUntilMs[device] as number, world.nowMs()) + expectedMs(device, m)
  const startNext = (device: number) => {
    const queue = queues[device] as number[]
    const request = queue[heads[device] as number]
    if (request === undefined || !world.isFree(device)) return
    heads[device] = (heads[device] as number) + 1
    if ((heads[device] as number) > 1024) {
      queue.splice(0, heads[device])
      heads[device] = 0
    }
    world.start(request, device)
  }
  const arrived = (request: number) => {
    const m = model[request] as number
    const device = choose(request, { up, queued, finishMs })
    if (device < 0 || (refuses && finishMs(device, m) > (deadlineMs[request] as number))) return world.refuse(request)
    busyUntilMs[device] = finishMs(device, m)
    queued[device] = (queued[device] as number) + 1
    ;(queues[device] as number[]).push(request)
    startNext(device)
  }
  return {
    name,
    arrived,
    freed(device) {
      queued[device] = Math.max(0, (queued[device] as number) - 1)
      if (away.delete(device)) holders.clear()
      // What ran longer or shorter than predicted moves all that waits behind it.
      let until = world.nowMs()
      const queue = queues[device] as number[]
      for (let i = heads[device] as number; i < queue.length; i++)
        until += expectedMs(device, model[queue[i] as number] as number)
      busyUntilMs[device] = until
      startNext(device)
    },
    lost(device, request) {
      away.add(device)
      holders.clear()
      const again = [...(request < 0 ? [] : [request]), ...(queues[device] as number[]).slice(heads[device])]
      queues[device] = []
      heads[device] = 0
      queued[device] = 0
      for (const each of again) arrived(each)
    }
  }
}

const least = (devices: readonly number[], cost: (device: number) => number): number => {
  let best = -1
  let bestCost = Number.POSITIVE_INFINITY
  for (const device of devices) {
    const each = cost(device)
    if (each < bestCost) {
      best = device
      bestCost = each
    }
  }
  return best
}

export const arrivalPolicies = (seed: number): Record<string, (world: PolicyWorld) => Policy> => ({
  random: (world) => {
    const random = seededRandom(seed)
    return boundAtArrival('random', world, (r, s) => pick(s.up(world.workload.model[r] as number), random()), false)
  },
  'round-robin': (world) => {
    let turn = 0
    return boundAtArrival(
      'round-robin',
      world,
      (r, s) => {
        const up = s.up(world.workload.model[r] as number)
        return up[turn++ % Math.max(1, up.length)] ?? -1
      },
      false
    )
  },
  'power-of-two': (world) => {
    const random = seededRandom(seed)
    return boundAtArrival(
      'power-of-two',
      world,
      (r, s) => {
        const up = s.up(world.workload.model[r] as number)
        const pair = [pick(up, random()), pick(up, random())].filter((d) => d >= 0)
        return least(pair, (d) => s.queued[d] as number)
      },
      false
    )
  },
  'least-loaded': (world) =>
    boundAtArrival(
      'least-loaded',
      world,
      (r, s) => least(s.up(world.workload.model[r] as number), (d) => s.queued[d] as number),
      false
    ),
  'predicted-finish': (world) => predictedFinish('predicted-finish', world, false),
  'predicted-finish-refuse': (world) => predictedFinish('predicted-finish-refuse', world, true)
})

const predictedFinish = (name: string, world: PolicyWorld, refuses: boolean): Policy =>
  boundAtArrival(
    name,
    world,
    (r, s) => {
      const m = world.workload.model[r] as number
      return least(s.up(m), (d) => s.finishMs(d, m))
    },
    refuses
  )

const pick = (devices: readonly number[], at: number): number => devices[Math.floor(at * devices.length)] ?? -1
