import {
  type Attempt,
  type Datatype,
  type JobError,
  type JobState,
  type ResultFrame,
  SkerryError,
  sliceTensors
} from '@skerry/contracts'
import type { CallRecord } from '@skerry/registry'
import type { GivenTensor } from '../jobs/inference-inputs.ts'
import type { EngineResources } from '../resources.ts'
import type { CallResult, CallTicket } from './call.ts'

export type CallRequest = {
  model: string
  version?: string | undefined
  inputs: GivenTensor[]
  /** From its receipt to its answer. */
  timeoutMs: number
}
/** `bytes` are little-endian, in row-major order. */
export type CallOutput = { name: string; datatype: Datatype; shape: readonly number[]; bytes: Uint8Array }
export type CallAnswer = { id: string; version: string; outputs: CallOutput[]; attempt: Attempt }

/** A call that somebody waits for at this replica. */
export type PendingCall = {
  id: string
  /** Its current life; errors of earlier ones count for nothing. */
  epoch: number
  request: CallRequest
  version: string
  ticket: CallTicket
  body: Uint8Array
  /** Valkey has its tensors. */
  isStored: boolean
  createdAtMs: number
  deadlineAtMs: number
  /** When it was put into its pool last. */
  sentAtMs: number
  attempts: Attempt[]
  runtimeKills: number
  timer: NodeJS.Timeout
  resolve: (answer: CallAnswer) => void
  reject: (error: SkerryError) => void
}

/** What a device said, as an attempt; `queueMs` is all that neither the dispatch nor the way nor the device took. */
export function attemptOf(call: PendingCall, result: CallResult, arrivedAtMs: number): Attempt {
  const { frame, device, variant, dispatchMs, roundTripMs } = result
  const { deviceMs = 0 } = frame.timings ?? {}
  const { retryable: _, killedRuntime: __, ...error } = frame.error ?? { retryable: false }
  return {
    number: call.attempts.length + 1,
    epoch: result.call.epoch,
    device,
    variant,
    runtime: frame.runtime ?? null,
    startedAt: new Date(arrivedAtMs - roundTripMs).toISOString(),
    endedAt: new Date(arrivedAtMs).toISOString(),
    timings: {
      inferenceMs: 0,
      ...frame.timings,
      queueMs: Math.max(0, arrivedAtMs - call.createdAtMs - roundTripMs - dispatchMs),
      dispatchMs,
      transportMs: Math.max(0, roundTripMs - deviceMs)
    },
    ...(frame.error === undefined ? {} : { error: error as JobError })
  }
}

/** Throws a plain Error when frame and body disagree. */
export async function outputsOf(
  { blobs }: Pick<EngineResources, 'blobs'>,
  frame: ResultFrame,
  body: Uint8Array
): Promise<CallOutput[]> {
  const tensors = frame.outputs ?? []
  const inline = sliceTensors(tensors, body)
  const outputs: CallOutput[] = []
  for (const { name, datatype, shape, blob } of tensors) {
    const bytes = blob === undefined ? inline.get(name) : Buffer.concat(await blobs.read(blob).toArray())
    if (bytes === undefined) throw new Error(`the result holds no bytes of output ${name}`)
    outputs.push({ name, datatype, shape, bytes })
  }
  return outputs
}

export function recordOf(
  call: PendingCall,
  state: Exclude<JobState, 'queued' | 'running'>,
  error: JobError | null,
  endedAtMs: number
): CallRecord {
  const { pool, priority, model, deployment, terms } = call.ticket.terms
  return {
    id: call.id,
    epoch: call.epoch,
    state,
    pool,
    priority,
    model: model ?? call.request.model,
    version: call.version,
    deployment: deployment ?? '',
    payload: call.ticket.payload,
    terms,
    attempts: call.attempts,
    error,
    createdAtMs: call.createdAtMs,
    expiresAtMs: call.deadlineAtMs,
    endedAtMs
  }
}

/** The device's own error as the caller meets it. */
export const failureOf = (error: JobError): SkerryError =>
  new SkerryError('inference-failed', `${error.message} (${error.code})`)
