import type { LatencyTable } from './csv.ts'
import { type Random, seededRandom } from './random.ts'

export type WorkloadOptions = {
  devices: number
  /** Zero: as many as the trace has. */
  requests: number
  load: number
  /** A multiple of the model's median latency over the table's devices. */
  deadline: number
  /** A device's mean latency is over what is asked for, or over the rows of its table alike. */
  capacity: 'asked' | 'rows'
  seed: number
}

export type Workload = {
  table: LatencyTable
  kindOf: Int32Array
  devicesByKind: Int32Array[]
  arrivalMs: Float64Array
  model: Int32Array
  deadlineMs: Float64Array
  /** Requests per second that the devices do at most by contract.md's measure. */
  capacityPerSecond: number
}

/** Devices in turn over the table's names, arrivals of the trace (repeated as needed) at load x capacity, Zipf models. */
export function makeWorkload(table: LatencyTable, trace: Float64Array, options: WorkloadOptions): Workload {
  const random = seededRandom(options.seed)
  const kinds = table.devices.length
  const kindOf = Int32Array.from({ length: options.devices }, (_, i) => i % kinds)
  const devicesByKind = Array.from({ length: kinds }, (_, k) => {
    const members: number[] = []
    for (let d = k; d < options.devices; d += kinds) members.push(d)
    return Int32Array.from(members)
  })
  const held = table.models.map((_, m) =>
    table.devices.some((__, k) => devicesByKind[k]?.length && (table.ms[m * kinds + k] as number) > 0)
  )
  const order = shuffled(
    table.models.map((_, m) => m).filter((m) => held[m]),
    random
  )
  const popularity = new Float64Array(table.models.length)
  order.forEach((m, rank) => {
    popularity[m] = 1 / (rank + 1)
  })
  let capacity = 0
  for (let k = 0; k < kinds; k++)
    capacity +=
      (devicesByKind[k] as Int32Array).length /
      meanLatency(table, k, options.capacity === 'asked' ? popularity : popularity.map(Math.sign))
  const count = options.requests || trace.length
  const arrivalMs = new Float64Array(count)
  const span = (trace[trace.length - 1] as number) + (trace[trace.length - 1] as number) / trace.length
  for (let i = 0; i < count; i++)
    arrivalMs[i] = Math.floor(i / trace.length) * span + (trace[i % trace.length] as number)
  const scale = count / (options.load * capacity) / ((arrivalMs[count - 1] as number) || 1)
  const draw = picker(order, popularity, random)
  const model = Int32Array.from({ length: count }, draw)
  const median = table.models.map((_, m) => medianLatency(table, m))
  const deadlineMs = new Float64Array(count)
  for (let i = 0; i < count; i++) {
    arrivalMs[i] = (arrivalMs[i] as number) * scale
    deadlineMs[i] = (arrivalMs[i] as number) + options.deadline * (median[model[i] as number] as number)
  }
  return { table, kindOf, devicesByKind, arrivalMs, model, deadlineMs, capacityPerSecond: capacity * 1000 }
}

/** Over what the device holds, weighted by how often it is asked for (the time of one request of the mix) or not. */
function meanLatency(table: LatencyTable, kind: number, popularity: Float64Array): number {
  let weight = 0
  let sum = 0
  table.models.forEach((_, m) => {
    const ms = table.ms[m * table.devices.length + kind] as number
    if (!(ms > 0)) return
    weight += popularity[m] as number
    sum += (popularity[m] as number) * ms
  })
  return sum / weight
}

function medianLatency(table: LatencyTable, model: number): number {
  const kinds = table.devices.length
  const row = [...table.ms.subarray(model * kinds, (model + 1) * kinds)].filter((ms) => ms > 0).sort((a, b) => a - b)
  return ((row[(row.length - 1) >> 1] ?? 0) + (row[row.length >> 1] ?? 0)) / 2
}

function shuffled(items: number[], random: Random): number[] {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1))
    const at = items[i] as number
    items[i] = items[j] as number
    items[j] = at
  }
  return items
}

function picker(order: readonly number[], popularity: Float64Array, random: Random): () => number {
  const upTo: number[] = []
  let total = 0
  for (const m of order) {
    total += popularity[m] as number
    upTo.push(total)
  }
  return () => {
    const at = random() * total
    let low = 0
    let high = upTo.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if ((upTo[middle] as number) < at) low = middle + 1
      else high = middle
    }
    return order[low] as number
  }
}
