import { INLINE_TENSOR_BYTES, type InferenceTensor, type Job, type JobQuery, SkerryError } from '@skerry/contracts'
import { findJob, type InferenceResult, isUuid, type JobRow, listJobs, type PageOf, toJob } from '@skerry/registry'
import type { EngineResources } from '../resources.ts'
import { decodeTensor } from '../tensor-codec.ts'
import type { Waiters } from './waiters.ts'

const ENDED = new Set(['succeeded', 'failed', 'cancelled', 'expired'])

/** Jobs as callers see them. */
export class JobView {
  readonly #resources: EngineResources
  readonly #waiters: Waiters
  constructor(resources: EngineResources, waiters: Waiters) {
    this.#resources = resources
    this.#waiters = waiters
  }

  /** The job; with `waitMs`, once it ended or that time passed. */
  async get(id: string, waitMs = 0, signal?: AbortSignal): Promise<Job> {
    // Listen before reading: a job that ends between the two must not be missed.
    const waiter = waitMs > 0 ? this.#waiters.wait(id, waitMs, signal) : null
    try {
      let row = await this.#find(id)
      if (waiter !== null && !ENDED.has(row.state)) {
        await waiter.done
        row = await this.#find(id)
      }
      return withOutputs(row)
    } finally {
      waiter?.stop()
    }
  }

  /** The row itself. Throws `job-unknown`. */
  row(id: string): Promise<JobRow> {
    return this.#find(id)
  }

  /** Without outputs: a list of jobs is for finding them. */
  list(query: JobQuery): Promise<PageOf<Job>> {
    return listJobs(this.#resources.registry.pool, query)
  }

  async #find(id: string): Promise<JobRow> {
    const row = isUuid(id) ? await findJob(this.#resources.registry.pool, id) : null
    if (row === null) throw new SkerryError('job-unknown', `No job has the id ${id}; rows are kept 30 days`)
    return row
  }
}

/** Outputs up to 16 KiB as data; larger ones name the blob that holds their bytes. */
function withOutputs(row: JobRow): Job {
  const job: Job = toJob(row)
  if (row.kind !== 'inference' || row.state !== 'succeeded' || row.result === null) return job
  let at = 0
  const outputs: InferenceTensor[] = []
  for (const { name, datatype, shape, bytes, blob } of (row.result as InferenceResult).outputs) {
    if (blob !== undefined) {
      outputs.push({ name, datatype, shape, blob })
      continue
    }
    // The bytes are kept for a day, the row for thirty.
    if (row.outputs === null || bytes > INLINE_TENSOR_BYTES) continue
    outputs.push({ name, datatype, shape, data: decodeTensor(datatype, shape, row.outputs.subarray(at, at + bytes)) })
    at += bytes
  }
  return { ...job, outputs }
}
