import { LatencyModel, MinHeap } from '@skerry/scheduler'
import { runNoise } from './noise.ts'
import { seededRandom } from './random.ts'
import type { Workload } from './workload.ts'

export type Disturbance = {
  churn: number
  drift: number
  driftFactor: number
  /** Sigma of the lognormal noise of a run; zero leaves the outliers out too, so that runs take the table's time. */
  noise: number
}
export type Outcome = { finishedMs: Float64Array; refused: Uint8Array }

/** What a policy sees of the world and may do in it. */
export interface PolicyWorld {
  readonly workload: Workload
  readonly latency: LatencyModel
  nowMs(): number
  /** Connected and idle. */
  isFree(device: number): boolean
  isUp(device: number): boolean
  holds(device: number, model: number): boolean
  start(request: number, device: number): void
  refuse(request: number): void
  wakeAt(ms: number): void
}
export interface Policy {
  readonly name: string
  arrived(request: number): void
  /** The device is idle now: it finished, or came back. */
  freed(device: number): void
  /** The device vanished; `request` was running there and must be given again, or is -1. */
  lost(device: number, request: number): void
  woken?(): void
}

const FINISH = 1
const DOWN = 2
const UP = 3
const WAKE = 4
type Event = { ms: number; order: number; kind: number; a: number; b: number }

/** Runs one policy over one workload in virtual time. The same seed gives the same noise to the same (request, device). */
export function simulate(
  workload: Workload,
  makePolicy: (world: PolicyWorld) => Policy,
  options: { seed: number } & Disturbance
): Outcome & { latency: LatencyModel; runs: number; seenErrors: number[] } {
  const { table, kindOf, arrivalMs, model } = workload
  const kinds = table.devices.length
  const requests = arrivalMs.length
  const finishedMs = new Float64Array(requests).fill(Number.POSITIVE_INFINITY)
  const refused = new Uint8Array(requests)
  const running = new Int32Array(kindOf.length).fill(-1)
  const up = new Uint8Array(kindOf.length).fill(1)
  const slowFrom = new Float64Array(kindOf.length).fill(Number.POSITIVE_INFINITY)
  const slowTo = new Float64Array(kindOf.length)
  const session = new Int32Array(kindOf.length)
  const latency = new LatencyModel()
  kindOf.forEach((kind, device) => {
    latency.addDevice(device, kind)
  })
  const seenErrors: number[] = []
  const events = new MinHeap<Event>((a, b) => a.ms < b.ms || (a.ms === b.ms && a.order < b.order))
  let order = 0
  let nowMs = 0
  let runs = 0
  const add = (ms: number, kind: number, a: number, b: number) => events.push({ ms, order: order++, kind, a, b })
  const truth = (device: number, m: number) => table.ms[m * kinds + (kindOf[device] as number)] as number
  const noise = (request: number, device: number) => runNoise(options.noise, options.seed, request, device)
  // The one benchmark at deployment: a device of each kind runs what it holds.
  workload.devicesByKind.forEach((devices, kind) => {
    table.models.forEach((_, m) => {
      const device = devices[m % devices.length]
      const ms = table.ms[m * kinds + kind] as number
      if (device !== undefined && ms > 0) latency.observe(device, m, ms * noise(-2 - m, device))
    })
  })
  const endMs = arrivalMs[requests - 1] ?? 0
  const random = seededRandom(options.seed ^ 0x51ed27)
  for (let d = 0; d < kindOf.length; d++) {
    if (random() < options.drift) {
      slowFrom[d] = endMs * (0.2 + 0.2 * random())
      slowTo[d] = (slowFrom[d] as number) + endMs * 0.3
    }
    if (random() < options.churn) {
      const from = endMs * 0.8 * random()
      add(from, DOWN, d, 0)
      add(from + endMs * 0.1, UP, d, 0)
    }
  }
  const world: PolicyWorld = {
    workload,
    latency,
    nowMs: () => nowMs,
    isFree: (device) => up[device] === 1 && running[device] === -1,
    isUp: (device) => up[device] === 1,
    holds: (device, m) => truth(device, m) > 0,
    start(request, device) {
      if (running[device] !== -1 || up[device] !== 1) throw new Error(`device ${device} was oversold`)
      running[device] = request
      const slow = nowMs >= (slowFrom[device] as number) && nowMs < (slowTo[device] as number) ? options.driftFactor : 1
      const ms = truth(device, model[request] as number) * noise(request, device) * slow
      runs += 1
      add(nowMs + ms, FINISH, device, session[device] as number)
    },
    refuse(request) {
      refused[request] = 1
    },
    wakeAt: (ms) => add(Math.max(ms, nowMs), WAKE, 0, 0)
  }
  const startedMs = new Float64Array(kindOf.length)
  const start = world.start
  world.start = (request, device) => {
    start(request, device)
    startedMs[device] = nowMs
  }
  const policy = makePolicy(world)
  let next = 0
  for (;;) {
    const event = events.peek()
    if (next < requests && (event === undefined || (arrivalMs[next] as number) <= event.ms)) {
      nowMs = arrivalMs[next] as number
      policy.arrived(next++)
      continue
    }
    if (event === undefined) break
    events.pop()
    nowMs = event.ms
    const device = event.a
    if (event.kind === FINISH) {
      if (session[device] !== event.b) continue
      const request = running[device] as number
      running[device] = -1
      finishedMs[request] = nowMs
      const m = model[request] as number
      if (runs % 7 === 0)
        seenErrors.push(Math.abs(Math.log((nowMs - (startedMs[device] as number)) / latency.expectedMs(device, m))))
      latency.observe(device, m, nowMs - (startedMs[device] as number))
      policy.freed(device)
    } else if (event.kind === DOWN) {
      up[device] = 0
      session[device] = (session[device] as number) + 1
      const request = running[device] as number
      running[device] = -1
      policy.lost(device, request)
    } else if (event.kind === UP) {
      up[device] = 1
      policy.freed(device)
    } else if (event.kind === WAKE) policy.woken?.()
  }
  return { finishedMs, refused, latency, runs, seenErrors }
}
