import type { Device, Job, Placement } from '@skerry/contracts'
import { readNpz } from '@skerry/converter'
import type { ApiClient } from '../api-client.ts'
import { CliError } from '../cli-error.ts'

export const WARMUP_RUNS = 10
/** At least this many; every held-out image runs once, then the first ones again. */
export const MEASURED_RUNS = 100

export type Image = { blob: string; isFace: boolean }

export type Measured = {
  device: string
  deviceId: string
  runtime: string
  variant: string
  runs: number
  /** The runtime's own invoke. */
  p50Ms: number
  p99Ms: number
  /** Submission to result, as the control plane saw it. */
  jobP50Ms: number
  /** Share of the held-out images that this device got right. */
  accuracy: number
  /** What it answered to the last image. */
  output: number
}

/** The held-out pictures as blobs, so that jobs name them instead of carrying them. */
export async function heldOutImages(evaluationPath: string, client: ApiClient): Promise<Image[]> {
  const arrays = await readNpz(evaluationPath)
  const images = arrays.get('image')
  const labels = arrays.get('y')
  if (images === undefined || labels === undefined || !(images.data instanceof Float32Array))
    throw new CliError(`${evaluationPath} does not hold float32 images and labels y`)
  const count = images.shape[0] ?? 0
  const size = images.data.length / count
  const found: Image[] = []
  for (let i = 0; i < count; i++) {
    const pixels = images.data.slice(i * size, (i + 1) * size)
    found.push({ blob: await client.putBlob(new Uint8Array(pixels.buffer)), isFace: Number(labels.data[i]) > 0.5 })
  }
  return found
}

/** The smallest value with at least the share `q` of all values at or below it. `sorted` ascends. */
export const quantile = (sorted: readonly number[], q: number): number =>
  sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? Number.NaN

/** Runs the held-out images as jobs on one device, one after the other. */
export async function measureDevice(options: {
  client: ApiClient
  model: string
  placement: Placement
  device: Device
  images: Image[]
  onProgress: (done: number, of: number) => void
  signal: AbortSignal
}): Promise<Measured> {
  const { client, model, placement, device, images, onProgress, signal } = options
  const run = async (image: Image) => {
    const inputs = [{ name: 'image', datatype: 'FP32', shape: [1, 224, 224, 3], blob: image.blob }]
    const { id } = await client.post<Job>('/jobs', { kind: 'inference', model, inputs, device: device.id })
    const job = await client.ended(id)
    const output = job.outputs?.[0]?.data?.[0]
    const attempt = job.attempts.at(-1)
    if (job.state !== 'succeeded' || typeof output !== 'number' || attempt === undefined)
      throw new CliError(`Job ${id} on ${device.name} ${job.state}: ${job.error?.message ?? 'no output'}`)
    return { output, attempt, jobMs: Date.parse(job.endedAt ?? '') - Date.parse(job.createdAt) }
  }
  const at = (i: number): Image => images[i % images.length] as Image
  for (let i = 0; i < WARMUP_RUNS; i++) await run(at(i))
  const total = Math.max(MEASURED_RUNS, images.length)
  const inferenceMs: number[] = []
  const jobMs: number[] = []
  let right = 0
  let output = Number.NaN
  for (let i = 0; i < total; i++) {
    signal.throwIfAborted()
    const done = await run(at(i))
    inferenceMs.push(done.attempt.timings.inferenceMs)
    jobMs.push(done.jobMs)
    if (i < images.length && done.output >= 0.5 === at(i).isFace) right += 1
    output = done.output
    if (i % 10 === 9) onProgress(i + 1, total)
  }
  const ascending = (values: number[]) => values.sort((a, b) => a - b)
  ascending(inferenceMs)
  ascending(jobMs)
  return {
    device: device.name,
    deviceId: device.id,
    runtime: placement.runtime ?? 'unknown',
    variant: placement.variant ?? 'unknown',
    runs: total,
    p50Ms: quantile(inferenceMs, 0.5),
    p99Ms: quantile(inferenceMs, 0.99),
    jobP50Ms: quantile(jobMs, 0.5),
    accuracy: right / images.length,
    output
  }
}
