import { createHash } from 'node:crypto'
import {
  canonicalJson,
  DEFAULT_TTL_MS,
  INLINE_TENSOR_BYTES,
  type Job,
  type JobRequest,
  MAX_ATTEMPTS,
  SkerryError
} from '@skerry/contracts'
import {
  type InferencePayload,
  insertJobs,
  isKeyKnown,
  type JobTerms,
  type NewJob,
  newId,
  type Submitted,
  toNewJob
} from '@skerry/registry'
import { Batcher } from '../batcher.ts'
import type { EngineResources } from '../resources.ts'
import { checkInputs, type GivenTensor, InferenceInputs, runnableOutput } from './inference-inputs.ts'
import { entryOf, type Outbox } from './outbox.ts'
import { deploymentPool, devicePool } from './pools.ts'
import type { ServingModels } from './serving.ts'

export type GivenJob = Omit<JobRequest, 'inputs'> & { inputs: GivenTensor[] }

/** Refuses a job by throwing, before anything of it is stored. */
export interface SubmissionGate {
  check(job: Omit<NewJob, 'payload' | 'inputs'>): Promise<void>
}

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

/** Takes jobs in: checks them against the model, stores their tensors and rows, and hands them to the outbox. */
export class Submission {
  readonly #resources: EngineResources
  readonly #gates: readonly SubmissionGate[]
  readonly #inserts: Batcher<NewJob, Submitted | SkerryError>
  readonly #serving: ServingModels
  readonly #inputs: InferenceInputs

  constructor(
    resources: EngineResources,
    outbox: Outbox,
    serving: ServingModels,
    gates: readonly SubmissionGate[] = []
  ) {
    this.#resources = resources
    this.#serving = serving
    this.#inputs = new InferenceInputs(resources)
    this.#gates = gates
    this.#inserts = new Batcher(async (jobs) => {
      const submitted = await insertJobs(resources.registry.pool, jobs)
      const fresh = submitted.flatMap((each) => (each instanceof SkerryError ? [] : (each.waiting ?? [])))
      outbox.enqueue(fresh.map(entryOf))
      return submitted
    })
  }

  /**
   * Stores an inference job and answers its id; the row is durable by then. The same idempotency key with the same request
   * answers the job it made before. Throws SkerryError: model-unknown, not-deployed, input-mismatch, device-unknown,
   * blob-unknown, idempotency-mismatch, deadline-infeasible, too-many-requests.
   */
  async inference(request: GivenJob, idempotencyKey: string | null): Promise<Submitted> {
    return this.insert(await this.#checked(request, idempotencyKey))
  }

  /** As `inference`, with the job itself where it is new. */
  async answeredInference(
    request: GivenJob,
    idempotencyKey: string | null
  ): Promise<{ id: string; job: Omit<Job, 'outputs'> | null }> {
    const job = await this.#checked(request, idempotencyKey)
    const { id, waiting } = await this.insert(job)
    return { id, job: waiting === null ? null : toNewJob(job, waiting) }
  }

  async #checked(request: GivenJob, idempotencyKey: string | null): Promise<NewJob> {
    const serving = await this.#serving.of(request.model, request.version)
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
    const { tensors, inline } = await this.#inputs.store(request.inputs, INLINE_TENSOR_BYTES)
    const payload: InferencePayload = { inputs: tensors, outputs: serving.outputs.map(runnableOutput) }
    return { ...job, payload, inputs: inline }
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
    return submitted
  }
}

/** Raw bytes stand in the request's hash by their own. */
const hashable = (inputs: readonly GivenTensor[]) =>
  inputs.map(({ bytes, ...rest }) =>
    bytes === undefined ? rest : { ...rest, sha256: createHash('sha256').update(bytes).digest('hex') }
  )
