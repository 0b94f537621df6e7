import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ActiveScheduler,
  admit,
  DEFAULT_WEIGHTS,
  type DeviceSnapshot,
  Explainer,
  FILTERS,
  firstRejection,
  LatencyModel,
  newCandidate,
  type SchedulingContext,
  type WorkRequest
} from '../src/index.ts'

const explain = (
  work: WorkRequest,
  devices: Iterable<DeviceSnapshot>,
  context: SchedulingContext,
  chosen: string | null = null
) => {
  const explainer = new Explainer(work, context, chosen)
  for (const device of devices) explainer.lookAt(device)
  return explainer.explanation()
}

const device: DeviceSnapshot = {
  id: 'd0',
  state: 'online',
  labels: { site: 'north' },
  taints: [],
  capabilities: ['infer'],
  runtimes: [{ name: 'litert', version: '2.3.0' }],
  memoryBytes: 1000,
  diskFreeBytes: 1000,
  health: null,
  batteryPercent: null,
  artifacts: new Map(),
  placements: new Map(),
  freeSlots: 1
}
const work: WorkRequest = {
  id: 'j',
  model: 'm',
  capability: 'infer',
  targetDeviceId: null,
  selector: {},
  deployment: null,
  tolerations: [],
  spread: null,
  artifact: { sha256: 'a', bytes: 10, memoryBytes: 10, operators: [], signatureTrusted: true }
}
const context: SchedulingContext = {
  operatorSupport: () => null,
  placedByValue: { least: 1, on: (value) => (value === 'north' ? 3 : 1) },
  limits: { temperatureC: 80, batteryPercent: 20 },
  candidate: ({ freeSlots }) => ({
    ...newCandidate(),
    waitMs: freeSlots > 0 ? 0 : 340,
    coldStartMs: 115,
    runLogMs: Math.log(20)
  }),
  measured: () => null,
  weights: DEFAULT_WEIGHTS.device
}
const health = { cpuPercent: 1, memoryUsedBytes: 995, rssBytes: 1, at: '2026-01-01T00:00:00Z' }

/** What each filter must refuse: a filter without a line here fails the test. */
const REFUSED: Record<string, [Partial<WorkRequest>, Partial<DeviceSnapshot>, Partial<SchedulingContext>]> = {
  state: [{}, { state: 'cordoned' }, {}],
  selector: [{ selector: { site: { notIn: ['north'] } } }, {}, {}],
  serves: [{ deployment: 'faces' }, { placements: new Map([['faces', { state: 'loading' }]]) }, {}],
  taints: [{}, { taints: ['lab=1:NoSchedule'] }, {}],
  capability: [{ capability: 'convert' }, {}, {}],
  trust: [{ artifact: { sha256: 'a', bytes: 1, memoryBytes: 1, operators: [], signatureTrusted: false } }, {}, {}],
  operators: [{}, {}, { operatorSupport: () => 'lacks operator FULLY_CONNECTED v12 in tfjs-tflite 0.0.1' }],
  memory: [{}, { health }, {}],
  disk: [{}, { diskFreeBytes: 19 }, {}],
  heat: [{}, { health: { ...health, memoryUsedBytes: 0, throttled: true, temperatureC: 81 } }, {}],
  battery: [{}, { health: { ...health, memoryUsedBytes: 0, refusing: 'short of memory' } }, {}],
  spread: [{ spread: { label: 'site', maxSkew: 1 } }, {}, {}]
}

describe('filters', () => {
  for (const { name } of FILTERS)
    it(`${name} refuses what it is for, and nothing else does`, () => {
      const [w, d, c] = REFUSED[name] ?? [{}, {}, {}]
      expect(firstRejection({ ...work, ...w }, { ...device, ...d }, { ...context, ...c })?.filter).toBe(name)
      expect(firstRejection(work, device, context)).toBeNull()
    })

  it('takes a device that throttles: that it is slow, its latency shows', () => {
    const throttled = { ...device, health: { ...health, memoryUsedBytes: 0, throttled: true } }
    expect(firstRejection(work, throttled, context)).toBeNull()
  })

  it('takes sets, existence and tolerations', () => {
    const required: WorkRequest = {
      ...work,
      selector: { site: { in: ['north', 'west'] }, gpu: { exists: false } },
      tolerations: ['lab']
    }
    expect(firstRejection(required, { ...device, taints: ['lab=1:NoSchedule'] }, context)).toBeNull()
  })
})

describe('an explanation', () => {
  it('says in words why work waits', () => {
    const devices = [
      ...Array.from({ length: 3 }, (_, i) => ({ ...device, id: `c${i}`, state: 'cordoned' as const })),
      { ...device, id: 'b', freeSlots: 0 }
    ]
    expect(explain(work, devices, context).summary).toBe('4 devices: 3 cordoned, 1 busy, next free in about 340 ms')
  })

  it('is words that an operator can act on', () => {
    const lacks = 'lacks operator FULLY_CONNECTED v12 in tfjs-tflite 0.0.1'
    const old = { runtimes: [{ name: 'tfjs-tflite', version: '0.0.1' }] } satisfies Partial<DeviceSnapshot>
    const devices = [
      ...Array.from({ length: 7 }, (_, i) => ({ ...device, ...old, id: `old${i}` })),
      ...Array.from({ length: 3 }, (_, i) => ({ ...device, id: `c${i}`, state: 'cordoned' as const })),
      ...Array.from({ length: 2 }, (_, i) => ({ ...device, id: `b${i}`, freeSlots: 0 }))
    ]
    const support = { ...context, operatorSupport: ({ name }: { name: string }) => (name === 'litert' ? null : lacks) }
    expect(explain(work, devices, support).summary).toBe(
      '12 devices: 7 lack operator FULLY_CONNECTED v12 in tfjs-tflite 0.0.1, 3 cordoned, 2 busy, next free in about 340 ms'
    )
    const other = [
      { ...device, ...old, id: 'old' },
      { ...device, id: 'full', diskFreeBytes: 1 },
      { ...device, id: 'hot', health: { ...health, memoryUsedBytes: 0, throttled: true, temperatureC: 81 } },
      device
    ]
    expect(explain(work, other, support, 'd0').summary).toBe(
      `4 devices: 1 ${lacks}, 1 too hot, 1 where too little disk is free, 1 free; placed on d0`
    )
  })

  it('keeps the best ten and the chosen one of any number of devices, and a bounded number of reasons', () => {
    const devices = Array.from({ length: 5_000 }, (_, i) =>
      i % 2 === 0 ? { ...device, id: `d${i}` } : { ...device, id: `t${i}`, taints: [`own-${i}`] }
    )
    const waits: SchedulingContext = {
      ...context,
      candidate: ({ id }) => ({ ...newCandidate(), waitMs: 10_000 - Number(id.slice(1)) })
    }
    const { rejected, candidates } = explain(work, devices, waits, 'd10')
    expect(rejected.length).toBeLessThanOrEqual(51)
    expect(rejected.reduce((sum, { count }) => sum + count, 0)).toBe(2_500)
    expect(candidates.map((each) => each.device)).toEqual([
      'd10',
      ...Array.from({ length: 9 }, (_, i) => `d${4_998 - 2 * i}`)
    ])
    expect(candidates[0]?.chosen).toBe(true)
  })

  it('gives every device a reason or a place among the candidates', () => {
    const cases = fc.array(fc.constantFrom(...Object.values(REFUSED).map(([, d]) => d), {}), { maxLength: 30 })
    fc.assert(
      fc.property(cases, (changes) => {
        const devices = changes.map((change, i) => ({ ...device, ...change, id: `d${i}` }))
        const { rejected, candidates, summary } = explain(work, devices, context)
        const refused = rejected.reduce((sum, { count }) => sum + count, 0)
        expect(Math.min(10, devices.length - refused)).toBe(candidates.length)
        for (const { reason, examples, count } of rejected) {
          expect(reason).not.toBe('')
          expect(examples.length).toBe(Math.min(5, count))
        }
        expect(summary).not.toBe('')
      })
    )
  })

  it('puts first what the scheduler chooses: the same scores decide and explain', () => {
    const ms = fc.integer({ min: 1, max: 200 })
    const fleets = fc.array(fc.record({ own: ms, other: ms, watts: fc.constantFrom(0, 2, 20) }), {
      minLength: 1,
      maxLength: 6
    })
    fc.assert(
      fc.property(fleets, fc.integer({ min: 1, max: 1_000 }), (fleet, deadlineMs) => {
        const latency = new LatencyModel()
        const core = new ActiveScheduler(latency)
        fleet.forEach(({ own, other, watts }, each) => {
          latency.addDevice(each, each)
          latency.seed(each, 0, own)
          latency.seed(each, 1, other)
          core.addDevice(each, each, 1)
          core.noteWatts(each, watts)
        })
        const devices = fleet.map((_, each) => ({ ...device, id: String(each) }))
        const candidate = ({ id }: DeviceSnapshot) => core.candidate(Number(id), 0, deadlineMs, 0)
        const { candidates } = explain(work, devices, { ...context, candidate })
        const demand = { key: 'all', artifact: 0, admits: () => true }
        core.offer({ id: 'job', order: 0, demand, priority: 0, deadlineMs, submittedAtMs: 0 })
        const placed = core.place(0)
        if (placed !== null && (candidates[0]?.scores.certainty ?? 0) < 1)
          expect(candidates[0]?.device).toBe(String(placed.device))
      })
    )
  })
})

describe('admission', () => {
  const candidate = { aheadMs: 100, coldStartMs: 0, logMs: Math.log(20), logSd: 0 }
  it('refuses a deadline that the prediction misses, with one that it would take', () => {
    const refused = admit([candidate], 50, 'strict')
    expect(refused).toEqual({ kind: 'refused', reason: 'deadline-infeasible', earliestFinishMs: 120 })
    expect(admit([candidate], 120, 'strict')).toEqual({ kind: 'admitted' })
  })
  it('takes it as best effort, and says when it will be done', () => {
    expect(admit([candidate], 50, 'best-effort')).toEqual({ kind: 'admitted-late', earliestFinishMs: 120 })
  })
  it('refuses a strict deadline that no device is there for', () => {
    expect(admit([], 50, 'strict')).toEqual({ kind: 'refused', reason: 'no-eligible-device', earliestFinishMs: null })
  })
})
