import { type ColdStart, LatencyModel, MinHeap } from '@skerry/scheduler'
import { type ColdOptions, ColdStarts } from './cold-starts.ts'
import { NOISE_SIGMA, runNoise } from './noise.ts'
import { quantile } from './quantile.ts'
import { type Random, seededRandom } from './random.ts'
import type { Workload } from './workload.ts'

export type Disturbance = {
  /** Share of devices that vanish once, for a tenth of the time. */
  churn: number
  /** Share of devices that are slow by `driftFactor` for three tenths of the time. */
  drift: number
  driftFactor: number
  /** Sigma of the lognormal noise of a run; zero leaves the outliers out too, so that runs take the table's time. */
  noise: number
} & ColdOptions
export const UNDISTURBED: Disturbance = {
  churn: 0,
  drift: 0,
  driftFactor: 5,
  noise: NOISE_SIGMA,
  memoryModels: 0,
  absent: 0
}

/** How each request ended: when it finished (infinite if it never did), or that it was refused. */
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
  /** Whether models may have to be loaded at all. */
  readonly hasColdStarts: boolean
  /** What transfer, load and first run would add there now, by what devices reported: what is loaded, and what it took. */
  coldMs(device: number, model: number): number
  /** What the device has loaded, the least recently used first. */
  loaded(device: number): ReadonlySet<number>
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
/** As an agent times what is deployed on it: so many runs, or as many as begin within the time, but never fewer than these. */
const BENCHMARK_RUNS = 50
const BENCHMARK_MS = 800
const LEAST_BENCHMARK_RUNS = 5
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
  // The one benchmark at deployment: on a device of each kind, the median of its runs of each model that it holds.
  workload.devicesByKind.forEach((devices, kind) => {
    table.models.forEach((_, m) => {
      const device = devices[m % devices.length]
      const ms = table.ms[m * kinds + kind] as number
      if (device === undefined || !(ms > 0)) return
      const times: number[] = []
      let spentMs = 0
      while (times.length < LEAST_BENCHMARK_RUNS || (times.length < BENCHMARK_RUNS && spentMs < BENCHMARK_MS)) {
        const tookMs = ms * noise(-2 - m * BENCHMARK_RUNS - times.length, device)
        times.push(tookMs)
        spentMs += tookMs
      }
      times.sort((a, b) => a - b)
      latency.seed(device, m, quantile(times, 0.5), times.length)
    })
  })
  const endMs = arrivalMs[requests - 1] ?? 0
  const random = seededRandom(options.seed ^ 0x51ed27)
  for (const d of sample(kindOf.length, options.drift, random)) {
    slowFrom[d] = endMs * (0.2 + 0.2 * random())
    slowTo[d] = (slowFrom[d] as number) + endMs * 0.3
  }
  for (const d of sample(kindOf.length, options.churn, random)) {
    const from = endMs * 0.8 * random()
    add(from, DOWN, d, 0)
    add(from + endMs * 0.1, UP, d, 0)
  }
  const cold = new ColdStarts(workload, options.seed, options)
  const runMs = new Float64Array(kindOf.length)
  const coldStart: (ColdStart | null)[] = Array.from(kindOf, () => null)
  const world: PolicyWorld = {
    workload,
    latency,
    nowMs: () => nowMs,
    isFree: (device) => up[device] === 1 && running[device] === -1,
    isUp: (device) => up[device] === 1,
    holds: (device, m) => truth(device, m) > 0,
    hasColdStarts: options.memoryModels > 0,
    coldMs: (device, m) => cold.predictedMs(device, m, latency.expectedMs(device, m)),
    loaded: (device) => cold.loaded(device),
    start(request, device) {
      if (running[device] !== -1 || up[device] !== 1) throw new Error(`device ${device} was oversold`)
      if (hasEnded(request)) throw new Error(`request ${request} ran after its end`)
      running[device] = request
      const m = model[request] as number
      const slow = nowMs >= (slowFrom[device] as number) && nowMs < (slowTo[device] as number) ? options.driftFactor : 1
      runMs[device] = truth(device, m) * noise(request, device) * slow
      const cost = cold.costOf(device, m)
      const own = cost === null ? null : longer(cost, slow, noise(-1 - request, device), noise(request, device))
      coldStart[device] = own
      cold.use(device, m)
      const ms = (runMs[device] as number) + (own === null ? 0 : own.transferMs + own.loadMs + own.firstRunMs)
      runs += 1
      add(nowMs + ms, FINISH, device, session[device] as number)
    },
    refuse(request) {
      if (hasEnded(request)) throw new Error(`request ${request} was refused after its end`)
      refused[request] = 1
    },
    wakeAt: (ms) => add(Math.max(ms, nowMs), WAKE, 0, 0)
  }
  const hasEnded = (request: number) => refused[request] === 1 || finishedMs[request] !== Number.POSITIVE_INFINITY
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
      seenErrors.push(Math.abs(Math.log((runMs[device] as number) / latency.expectedMs(device, m))))
      // Devices report the run apart from transfer and load.
      latency.observe(device, m, runMs[device] as number)
      const took = coldStart[device] ?? null
      if (took !== null) cold.report(device, m, took, runMs[device] as number)
      policy.freed(device)
    } else if (event.kind === DOWN) {
      up[device] = 0
      session[device] = (session[device] as number) + 1
      const request = running[device] as number
      running[device] = -1
      cold.restart(device)
      policy.lost(device, request)
    } else if (event.kind === UP) {
      up[device] = 1
      policy.freed(device)
    } else if (event.kind === WAKE) policy.woken?.()
  }
  return { finishedMs, refused, latency, runs, seenErrors }
}

/** On a device slower by a factor, and with the noise of its disk and of the run. */
const longer = ({ transferMs, loadMs, firstRunMs }: ColdStart, slow: number, disk: number, run: number): ColdStart => ({
  transferMs: transferMs * slow * disk,
  loadMs: loadMs * slow * disk,
  firstRunMs: firstRunMs * slow * run
})

/** A share of the devices, each once. */
function sample(devices: number, share: number, random: Random): Int32Array {
  const all = Int32Array.from({ length: devices }, (_, d) => d)
  const count = Math.round(share * devices)
  for (let i = 0; i < count; i++) {
    const j = i + Math.floor(random() * (devices - i))
    const at = all[i] as number
    all[i] = all[j] as number
    all[j] = at
  }
  return all.subarray(0, count)
}
