export type LatencyTable = {
  models: string[]
  devices: string[]
  /** models x devices, NaN where there is no row: that device cannot run that model. */
  ms: Float64Array
}

/** Rows of a simple CSV (no quotes, as in the data's forms), by column name. */
function records(text: string): Record<string, string>[] {
  const [head, ...lines] = text.trim().split(/\r?\n/)
  const names = (head ?? '').split(',')
  return lines.map((line) => {
    const cells = line.split(',')
    return Object.fromEntries(names.map((name, i) => [name, cells[i] ?? '']))
  })
}

/** Reads either form of device-latency-*.csv: a model is all that changes the work, a device all that runs it. */
export function parseLatencyTable(text: string): LatencyTable {
  const rows = records(text).map((row) => ({
    model: [row.model, row.component, row.precision, row.input, row.kind].filter((part) => part).join('/'),
    device: row.threads === undefined ? (row.device ?? '') : `${row.device} x${row.threads}`,
    ms: Number(row.latency_ms ?? row.latency_mean_ms)
  }))
  const models = [...new Set(rows.map((row) => row.model))].sort()
  const devices = [...new Set(rows.map((row) => row.device))].sort()
  const modelIndex = new Map(models.map((name, i) => [name, i]))
  const deviceIndex = new Map(devices.map((name, i) => [name, i]))
  const ms = new Float64Array(models.length * devices.length).fill(Number.NaN)
  for (const row of rows)
    if (row.ms > 0)
      ms[(modelIndex.get(row.model) as number) * devices.length + (deviceIndex.get(row.device) as number)] = row.ms
  return { models, devices, ms }
}

/** Only the models that every device runs. */
export function completeModels({ models, devices, ms }: LatencyTable): LatencyTable {
  const kept = models.flatMap((_, m) => {
    const row = ms.subarray(m * devices.length, (m + 1) * devices.length)
    return row.every((each) => each > 0) ? [m] : []
  })
  return {
    models: kept.map((m) => models[m] as string),
    devices,
    ms: Float64Array.from(kept.flatMap((m) => [...ms.subarray(m * devices.length, (m + 1) * devices.length)]))
  }
}

export const parseArrivals = (text: string): Float64Array =>
  Float64Array.from(records(text).map((row) => Number(row.arrival_s) * 1000))
