import { createWriteStream } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { ConversionRequest, ConversionResult, Job, JobProgress, Variant, Version } from '@skerry/contracts'
import type { ApiClient } from '../api-client.ts'
import { CliError } from '../cli-error.ts'
import type { ConvertPlan } from './plan.ts'

type Target = { model: string; version: string; fresh: boolean }
type Deps = { client: ApiClient; signal: AbortSignal; onProgress: (progress: JobProgress) => void }

export type ConvertedThere = { job: string; result: ConversionResult; variants: Variant[] }

/** Uploads, converts on a device of the fleet, and fetches the files. Stopping cancels the job. */
export async function convertThere(plan: ConvertPlan, target: Target, deps: Deps): Promise<ConvertedThere> {
  const { client, signal } = deps
  const route = `/models/${encodeURIComponent(target.model)}/versions/${encodeURIComponent(target.version)}`
  deps.onProgress({ stage: 'upload', percent: 0, message: `uploading ${path.basename(plan.sourcePath)}` })
  await client.putFile<Version>(`${route}/source?format=${plan.format}`, plan.sourcePath)
  const dataSet = async (file: string | undefined) =>
    file === undefined ? undefined : { blob: await client.putBlobFile(file), format: formatOf(file, plan) }
  const calibration = await dataSet(plan.calibrationPath)
  const evaluation = await dataSet(plan.evaluationPath)
  const request: ConversionRequest = {
    variants: plan.variants,
    ...(calibration === undefined ? {} : { calibration }),
    ...(evaluation === undefined ? {} : { evaluation }),
    ...(plan.preprocessing === undefined ? {} : { preprocessing: mutable(plan.preprocessing) }),
    ...(plan.labels === undefined ? {} : { labels: plan.labels }),
    ...(plan.signature === undefined ? {} : { signature: plan.signature }),
    ...(plan.tolerance === undefined ? {} : { tolerance: plan.tolerance }),
    propose: plan.propose,
    fresh: target.fresh,
    timeLimitMs: plan.timeLimitMs
  }
  const { id } = await client.post<Job>(`${route}/conversions`, request)
  const cancel = () => void client.post(`/jobs/${id}/cancel`).catch(() => undefined)
  signal.addEventListener('abort', cancel, { once: true })
  const job = await client
    .ended(id, ({ state, progress }) => deps.onProgress(progress ?? { stage: state, percent: 0, message: state }))
    .finally(() => signal.removeEventListener('abort', cancel))
  if (job.state !== 'succeeded')
    throw new CliError(`Conversion ${id} ${job.state}: ${job.error?.message ?? ''}\n${job.error?.detail ?? ''}`.trim())
  const result = job.result as ConversionResult
  const names = new Set(result.variants.map(({ recipe }) => recipe))
  const { items } = await client.get<{ items: Variant[] }>(`${route}/variants`)
  const variants = items.filter(({ variant }) => names.has(variant))
  await fetchFiles(variants, plan, client, route)
  return { job: id, result, variants }
}

async function fetchFiles(variants: readonly Variant[], plan: ConvertPlan, client: ApiClient, route: string) {
  await mkdir(plan.outDir, { recursive: true })
  await mkdir(path.dirname(plan.reportPath), { recursive: true })
  for (const { variant, sha256 } of variants) {
    if (sha256 === undefined) continue
    const file = path.join(plan.outDir, `${variant}.tflite`)
    await download(client, `${route}/variants/${encodeURIComponent(variant)}/model.tflite`, file)
  }
  const reported = variants.find(({ details }) => details?.report !== undefined)
  if (reported === undefined) return
  const report = `${route}/variants/${encodeURIComponent(reported.variant)}/report`
  await download(client, `${report}.html`, plan.reportPath)
  await download(client, `${report}.json`, path.join(plan.outDir, 'report.json'))
}

async function download(client: ApiClient, route: string, file: string): Promise<void> {
  const part = `${file}.part`
  await pipeline(await client.getStream(route), createWriteStream(part))
  await rename(part, file)
}

/** The server asks which; the file's name tells. */
function formatOf(file: string, plan: ConvertPlan): 'npz' | 'images' {
  if (file.endsWith('.npz')) return 'npz'
  if (plan.preprocessing !== undefined) return 'images'
  throw new CliError(`${file} is no .npz file: images need --preprocessing`)
}

const mutable = ({ scale, offset, ...rest }: NonNullable<ConvertPlan['preprocessing']>) => ({
  ...rest,
  scale: typeof scale === 'number' ? scale : [...scale],
  offset: typeof offset === 'number' ? offset : [...offset]
})
