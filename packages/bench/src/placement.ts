import { ActiveScheduler, type Demand, LatencyModel, type PendingWork } from '@skerry/scheduler'
import type { BenchmarkContext, BenchmarkResult } from './benchmarks.ts'
import { median } from './median.ts'

const SIZES = [100, 1_000, 5_000, 10_000, 100_000]
const MODELS = 100
const MODELS_A_DEVICE = 5
const KINDS = 16
const ROUNDS = 5
const DECISIONS = 20_000

/**
 * Decisions of the scheduler alone: a job comes or a device becomes free, and a placement leaves. Each device serves five
 * of a hundred models, four in five devices are busy, and work waits. No peer runs here, so `ratio` is null.
 */
export function benchmarkPlacement({ say }: BenchmarkContext): Promise<BenchmarkResult> {
  const sizes: Record<string, { perSecond: number; p99Ms: number }> = {}
  for (const devices of SIZES) {
    const rounds = Array.from({ length: ROUNDS }, () => measure(devices))
    const result = {
      perSecond: median(rounds.map(({ perSecond }) => perSecond)),
      p99Ms: median(rounds.map(({ p99Ms }) => p99Ms))
    }
    sizes[devices] = result
    say(`${devices} devices: ${Math.round(result.perSecond)} decisions/s, p99 ${result.p99Ms.toFixed(3)} ms`)
  }
  const perDecision = (devices: number) => 1 / (sizes[devices]?.perSecond ?? Number.NaN)
  return Promise.resolve({
    benchmark: 'placement',
    ratio: null,
    models: MODELS,
    sizes,
    growth: perDecision(100_000) / perDecision(100)
  })
}

function measure(devices: number): { perSecond: number; p99Ms: number } {
  const latency = new LatencyModel()
  for (let device = 0; device < devices; device++) latency.addDevice(device, device % KINDS)
  for (let kind = 0; kind < Math.min(KINDS, devices); kind++)
    for (let model = 0; model < MODELS; model++) latency.observe(kind, model, (2 + (model % 17)) * (1 + kind / 4))
  const scheduler = new ActiveScheduler(latency)
  const demands: Demand[] = Array.from({ length: MODELS }, (_, model) => ({
    key: `model-${model}`,
    artifact: model,
    admits: (device) => (model + MODELS - ((device * 7) % MODELS)) % MODELS < MODELS_A_DEVICE
  }))
  for (let device = 0; device < devices; device++) scheduler.addDevice(device, device % KINDS, device % 5 === 0 ? 1 : 0)
  let order = 0
  const work = (nowMs: number): PendingWork => {
    const demand = demands[(order * 37) % MODELS] as Demand
    return { id: `job-${order}`, order: order++, demand, priority: 0, deadlineMs: nowMs + 60_000, submittedAtMs: nowMs }
  }
  // The pools' eligible devices are found once and kept; a decision does not pay for it.
  for (let i = 0; i < 5 * MODELS; i++) scheduler.offer(work(0))
  const busy: number[] = []
  for (let device = 0; device < devices; device++) if (device % 5 !== 0) busy.push(device)
  const times = new Float64Array(DECISIONS)
  const startedMs = performance.now()
  for (let i = 0; i < DECISIONS; i++) {
    const fromMs = performance.now()
    const nowMs = i / 10
    if (i % 2 === 0 || busy.length === 0) {
      const next = work(nowMs)
      scheduler.offer(next)
      const placed = scheduler.placeNew(next, nowMs)
      if (placed !== null) busy.push(placed.device)
    } else {
      const at = (i * 7919) % busy.length
      const device = busy[at] as number
      busy[at] = busy[busy.length - 1] as number
      busy.pop()
      scheduler.setSlots(device, 1)
      const placed = scheduler.placeOn(device, nowMs)
      if (placed !== null) busy.push(device)
    }
    times[i] = performance.now() - fromMs
  }
  const totalMs = performance.now() - startedMs
  times.sort()
  return { perSecond: (DECISIONS * 1000) / totalMs, p99Ms: times[Math.floor(DECISIONS * 0.99)] as number }
}
