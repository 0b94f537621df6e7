import fc from 'fast-check'
import type { LatencyTable, Workload } from '../src/index.ts'

export const NO_NOISE = { churn: 0, drift: 0, driftFactor: 5, noise: 0, memoryModels: 0, absent: 0 }

/** Milliseconds by model (rows) and kind of device (columns); 0: that kind cannot run that model. */
export function tableOf(rows: readonly (readonly number[])[]): LatencyTable {
  const kinds = rows[0]?.length ?? 0
  return {
    models: rows.map((_, m) => `model-${m}`),
    devices: Array.from({ length: kinds }, (_, k) => `kind-${k}`),
    ms: Float64Array.from(rows.flat(), (ms) => (ms > 0 ? ms : Number.NaN))
  }
}

/** Requests as [arrival, deadline, model], by arrival. */
export function workloadOf(
  rows: readonly (readonly number[])[],
  kindOf: readonly number[],
  requests: readonly (readonly [number, number, number?])[]
): Workload {
  const table = tableOf(rows)
  return {
    table,
    kindOf: Int32Array.from(kindOf),
    devicesByKind: table.devices.map((_, k) =>
      Int32Array.from(kindOf.flatMap((kind, device) => (kind === k ? [device] : [])))
    ),
    arrivalMs: Float64Array.from(requests, ([at]) => at),
    deadlineMs: Float64Array.from(requests, ([, deadline]) => deadline),
    model: Int32Array.from(requests, ([, , model]) => model ?? 0),
    capacityPerSecond: Number.NaN
  }
}

/** Up to 3 models on 3 kinds, some pairs missing, up to 5 devices and 40 requests that come faster than they go. */
export const smallWorkloads: fc.Arbitrary<Workload> = fc
  .record({
    rows: fc.array(
      fc.array(fc.oneof({ arbitrary: fc.integer({ min: 1, max: 60 }), weight: 5 }, fc.constant(0)), {
        minLength: 3,
        maxLength: 3
      }),
      { minLength: 1, maxLength: 3 }
    ),
    kindOf: fc.array(fc.integer({ min: 0, max: 2 }), { minLength: 1, maxLength: 5 }),
    requests: fc.array(
      fc.record({
        gapMs: fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 30 })),
        patienceMs: fc.integer({ min: 1, max: 150 }),
        model: fc.integer({ min: 0, max: 2 })
      }),
      { minLength: 1, maxLength: 40 }
    )
  })
  .map(({ rows, kindOf, requests }) => {
    let atMs = 0
    return workloadOf(
      rows,
      kindOf,
      requests.map(({ gapMs, patienceMs, model }) => {
        atMs += gapMs
        return [atMs, atMs + patienceMs, model % rows.length] as const
      })
    )
  })
