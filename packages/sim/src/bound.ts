import type { Workload } from './workload.ts'

export type Bound = { goodputPercent: number; how: string }

const HOW =
  'weak duality: for prices p >= 0 per device kind and ms, no schedule meets more deadlines in expectation than ' +
  'sum(p x devices x ms) + sum over requests of max(0, 1 - min over kinds(p x table ms)); requests are cut into windows ' +
  'by arrival, each with all devices from its first arrival to its last deadline, and the least sum over window counts ' +
  'and prices is reported; requests whose fastest table time exceeds the deadline still count, because noise may help'

export function upperBound(workload: Workload): Bound {
  let best = workload.arrivalMs.length
  for (let windows = 1; windows <= 128; windows *= 2) {
    let sum = 0
    for (let w = 0; w < windows; w++)
      sum += windowBound(
        workload,
        Math.floor((w * workload.arrivalMs.length) / windows),
        Math.floor(((w + 1) * workload.arrivalMs.length) / windows)
      )
    best = Math.min(best, sum)
  }
  return { goodputPercent: (100 * best) / Math.max(1, workload.arrivalMs.length), how: HOW }
}

function windowBound(workload: Workload, from: number, to: number): number {
  const { table, devicesByKind, arrivalMs, deadlineMs, model } = workload
  const kinds = table.devices.length
  const asked = new Int32Array(table.models.length)
  let lastMs = 0
  for (let i = from; i < to; i++) {
    asked[model[i] as number] = (asked[model[i] as number] as number) + 1
    lastMs = Math.max(lastMs, deadlineMs[i] as number)
  }
  const lengthMs = Math.max(0, lastMs - (arrivalMs[from] ?? 0))
  const speed = table.devices.map((_, k) => {
    const logs = table.models.flatMap((__, m) => {
      const ms = table.ms[m * kinds + k] as number
      return ms > 0 ? [Math.log(ms)] : []
    })
    return Math.exp(logs.reduce((a, b) => a + b, 0) / Math.max(1, logs.length))
  })
  const value = (price: readonly number[]): number => {
    let total = 0
    for (let k = 0; k < kinds; k++) total += (price[k] as number) * lengthMs * (devicesByKind[k] as Int32Array).length
    asked.forEach((n, m) => {
      if (n === 0) return
      let cost = Number.POSITIVE_INFINITY
      for (let k = 0; k < kinds; k++) {
        const ms = table.ms[m * kinds + k] as number
        if (ms > 0 && (devicesByKind[k] as Int32Array).length > 0) cost = Math.min(cost, (price[k] as number) * ms)
      }
      total += n * Math.max(0, 1 - cost)
    })
    return total
  }
  let best = to - from
  for (let step = -16; step <= 4; step++) best = Math.min(best, value(speed.map((ms) => 2 ** step / ms)))
  return best
}
