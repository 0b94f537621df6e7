import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  canonicalJson,
  DEFAULT_TTL_MS,
  type FieldProblem,
  INLINE_TENSOR_BYTES,
  type InferenceTensor,
  type JobRequest,
  MAX_ATTEMPTS,
  MAX_FRAME_BYTES,
  SkerryError,
  type TensorDescription
} from '@skerry/contracts'
import {
  type InferencePayload,
  insertJobs,
  isKeyKnown,
  type JobTerms,
  type NewJob,
  newId,
  type StoredTensor,
  type Submitted
} from '@skerry/registry'
import { Batcher } from '../batcher.ts'
import type { EngineResources } from '../resources.ts'
import { byteLength, encodeTensor } from '../tensor-codec.ts'
import type { Outbox } from './outbox.ts'
import { deploymentPool, devicePool } from './pools.ts'

const SERVING_CACHE_MS = 1_000
/** All inline tensors of a job travel in one frame, which has room for their headers besides. */
const MAX_INLINE_BYTES = MAX_FRAME_BYTES / 2

/** An input as it came: JSON data, a blob's name, or the raw bytes of the binary form. */
export type GivenTensor = InferenceTensor & { bytes?: Uint8Array }
export type GivenJob = Omit<JobRequest, 'inputs'> & { inputs: GivenTensor[] }

/** Refuses a job by throwing, before anything of it is stored. */
export interface SubmissionGate {
  check(job: Omit<NewJob, 'payload' | 'inputs'>): Promise<void>
}

type Serving = { deployment: string; version: string; inputs: TensorDescription[]; outputs: TensorDescription[] }

export const requestHash = (request: unknown): Uint8Array =>
  createHash('sha256').update(canonicalJson(request)).digest()

/** What the row keeps of a request for the scheduler. */
export function termsOf({ deadlineMs, admission, tolerations, spread }: GivenJob): JobTerms {
  return {
    ...(deadlineMs === undefined ? {} : { deadline: true as const }),
    ...(admission === 'best-effort' ? { bestEffort: true as const } : {}),
    ...(tolerations === undefined || tolerations.length === 0 ? {} : { tolerations }),
    ...(spread === undefined ? {} : { spread })
  }
}

function runnableOutput({ name, datatype }: TensorDescription): InferencePayload['outputs'][number] {
  if (datatype !== 'BYTES') return { name, datatype }
  throw new SkerryError('input-mismatch', `Output ${name} holds strings, which no runtime here gives`)
}

/** Takes jobs in: checks them against the model, stores their tensors and rows, and hands them to the outbox. */
export class Submission {
  readonly #resources: EngineResources
  readonly #outbox: Outbox
  readonly #gates: readonly SubmissionGate[]
  readonly #inserts: Batcher<NewJob, Submitted | SkerryError>
  readonly #serving = new Map<string, { at: number; found: Promise<Serving> }>()

  constructor(resources: EngineResources, outbox: Outbox, gates: readonly SubmissionGate[] = []) {
    this.#resources = resources
    this.#outbox = outbox
    this.#gates = gates
    this.#inserts = new Batcher((jobs) => insertJobs(resources.registry.pool, jobs))
  }

  /** A model's deployments or tensors changed. */
  forgetServing(): void {
    this.#serving.clear()
  }

  /**
   * Stores an inference job and answers its id; the row is durable by then. The same idempotency key with the same request
   * answers the job it made before. Throws SkerryError: model-unknown, not-deployed, input-mismatch, device-unknown,
   * blob-unknown, idempotency-mismatch, deadline-infeasible, too-many-requests.
   */
  async inference(request: GivenJob, idempotencyKey: string | null): Promise<Submitted> {
    const serving = await this.#servingOf(request.model, request.version)
    checkInputs(request.inputs, serving.inputs)
    if (request.device !== undefined) await this.#resources.registry.devices.get(request.device)
    const job: Omit<NewJob, 'payload' | 'inputs'> = {
      id: newId(),
      kind: 'inference',
      pool: request.device === undefined ? deploymentPool(serving.deployment) : devicePool(request.device),
      priority: request.priority ?? 0,
      model: request.model,
      version: serving.version,
      deployment: serving.deployment,
      targetDeviceId: request.device ?? null,
      selector: request.selector ?? {},
      terms: termsOf(request),
      maxAttempts: request.maxAttempts ?? MAX_ATTEMPTS,
      ttlMs: Math.min(request.deadlineMs ?? request.ttlMs ?? DEFAULT_TTL_MS, request.ttlMs ?? Number.POSITIVE_INFINITY),
      idempotencyKey,
      requestHash: idempotencyKey === null ? null : requestHash({ ...request, inputs: hashable(request.inputs) })
    }
    await this.#admit(job)
    const { tensors, inline } = await this.#storeInputs(request.inputs)
    const payload: InferencePayload = { inputs: tensors, outputs: serving.outputs.map(runnableOutput) }
    return this.insert({ ...job, payload, inputs: inline })
  }

  /** A job that was taken before is taken again, whatever now stands against it. */
  async #admit(job: Omit<NewJob, 'payload' | 'inputs'>): Promise<void> {
    try {
      for (const gate of this.#gates) await gate.check(job)
    } catch (error) {
      const { idempotencyKey } = job
      if (idempotencyKey !== null && (await isKeyKnown(this.#resources.registry.pool, idempotencyKey))) return
      throw error
    }
  }

  /** Stores a job of any kind. */
  async insert(job: Omit<NewJob, 'id'> & { id?: string }): Promise<Submitted> {
    const submitted = await this.#inserts.submit({ id: newId(), ...job })
    if (submitted instanceof SkerryError) throw submitted
    if (submitted.created)
      this.#outbox.enqueue([{ id: submitted.id, epoch: 1, pool: job.pool, priority: job.priority }])
    return submitted
  }

  #servingOf(model: string, version: string | undefined): Promise<Serving> {
    const key = `${model}\n${version ?? ''}`
    const cached = this.#serving.get(key)
    if (cached !== undefined && this.#resources.nowMs() - cached.at < SERVING_CACHE_MS) return cached.found
    const found = this.#findServing(model, version)
    this.#serving.set(key, { at: this.#resources.nowMs(), found })
    found.catch(() => this.#serving.delete(key))
    return found
  }

  async #findServing(model: string, version: string | undefined): Promise<Serving> {
    const { registry } = this.#resources
    if (version === undefined) await registry.models.getModel(model)
    else await registry.models.getVersion(model, version)
    const deployment = await registry.deployments.serving(model, version)
    if (deployment === null)
      throw new SkerryError(
        'not-deployed',
        `No deployment serves ${model}${version === undefined ? '' : ` ${version}`}: POST /api/v1/deployments first`
      )
    const { inputs, outputs } = await registry.models.getVersion(model, deployment.version)
    if (inputs === undefined || outputs === undefined)
      throw new SkerryError(
        'not-deployed',
        `${model} ${deployment.version} was not converted yet: its inputs are not known`
      )
    return { deployment: deployment.name, version: deployment.version, inputs, outputs }
  }

  async #storeInputs(given: GivenTensor[]): Promise<{ tensors: StoredTensor[]; inline: Uint8Array | null }> {
    const tensors: StoredTensor[] = []
    const inline: Uint8Array[] = []
    let inlineBytes = 0
    for (const [i, tensor] of given.entries()) {
      const { name, datatype, shape } = tensor
      const bytes = byteLength(datatype, shape)
      if (tensor.blob !== undefined) {
        await this.#checkBlob(tensor.blob, bytes, name)
        tensors.push({ name, datatype, shape, bytes, blob: tensor.blob })
        continue
      }
      const encoded = tensor.bytes ?? encodeTensor({ ...tensor, data: tensor.data ?? [] }, `/inputs/${i}`)
      if (encoded.byteLength !== bytes)
        throw new SkerryError(
          'input-mismatch',
          `Input ${name}: its shape takes ${bytes} bytes, ${encoded.byteLength} came`
        )
      if (encoded.byteLength <= INLINE_TENSOR_BYTES && inlineBytes + encoded.byteLength <= MAX_INLINE_BYTES) {
        inline.push(encoded)
        inlineBytes += encoded.byteLength
        tensors.push({ name, datatype, shape, bytes })
      } else {
        const { sha256 } = await this.#resources.blobs.put(Readable.from([encoded]))
        tensors.push({ name, datatype, shape, bytes, blob: sha256 })
      }
    }
    return { tensors, inline: inline.length === 0 ? null : Buffer.concat(inline) }
  }

  async #checkBlob(sha256: string, bytes: number, name: string): Promise<void> {
    const blob = await this.#resources.blobs.stat(sha256)
    if (blob === null) throw new SkerryError('blob-unknown', `Input ${name}: no blob ${sha256}; PUT it first`)
    if (blob.bytes !== bytes)
      throw new SkerryError(
        'input-mismatch',
        `Input ${name}: its shape takes ${bytes} bytes, the blob has ${blob.bytes}`
      )
  }
}

/** Raw bytes stand in the request's hash by their own. */
const hashable = (inputs: readonly GivenTensor[]) =>
  inputs.map(({ bytes, ...rest }) =>
    bytes === undefined ? rest : { ...rest, sha256: createHash('sha256').update(bytes).digest('hex') }
  )

function checkInputs(given: readonly GivenTensor[], expected: readonly TensorDescription[]): void {
  const fields: FieldProblem[] = []
  const names = expected.map((tensor) => tensor.name).join(', ')
  for (const [i, tensor] of given.entries()) {
    const pointer = `/inputs/${i}`
    const spec = expected.find((candidate) => candidate.name === tensor.name)
    if (spec === undefined) {
      fields.push({ pointer: `${pointer}/name`, detail: `the model has no input ${tensor.name}; it has ${names}` })
      continue
    }
    if (given.findIndex((other) => other.name === tensor.name) !== i)
      fields.push({ pointer: `${pointer}/name`, detail: `input ${tensor.name} is given twice` })
    if (tensor.datatype !== spec.datatype)
      fields.push({
        pointer: `${pointer}/datatype`,
        detail: `input ${tensor.name} is ${spec.datatype}, not ${tensor.datatype}`
      })
    if (!shapeFits(tensor.shape, spec.shape))
      fields.push({
        pointer: `${pointer}/shape`,
        detail: `input ${tensor.name} has shape [${spec.shape.map((n) => (n === -1 ? 1 : n))}] (a job is one sample), not [${tensor.shape}]`
      })
    if ([tensor.data, tensor.blob, tensor.bytes].filter((form) => form !== undefined).length !== 1)
      fields.push({ pointer, detail: `input ${tensor.name} needs either data or blob` })
  }
  for (const spec of expected)
    if (!given.some((tensor) => tensor.name === spec.name))
      fields.push({ pointer: '/inputs', detail: `input ${spec.name} is missing` })
  if (fields.length > 0)
    throw new SkerryError('input-mismatch', fields.map((field) => field.detail).join('; '), { fields })
}

/** Variants are converted with a fixed batch of 1, so an open dimension is 1. */
const shapeFits = (given: readonly number[], expected: readonly number[]): boolean =>
  given.length === expected.length && expected.every((n, i) => given[i] === (n === -1 ? 1 : n))
