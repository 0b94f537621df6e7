import { type JobError, type JobState, MAX_ATTEMPTS, MAX_FRAME_BYTES, SkerryError } from '@skerry/contracts'
import { MAX_RUNTIME_KILLS, type NewJob, newId } from '@skerry/registry'
import type { Cluster } from '../cluster/cluster.ts'
import type { ToOrigin } from '../cluster/messages.ts'
import { jobKey } from '../devices/fleet.ts'
import { checkInputs, InferenceInputs, runnableOutput } from '../jobs/inference-inputs.ts'
import { deploymentPool } from '../jobs/pools.ts'
import type { ServingModels } from '../jobs/serving.ts'
import type { SubmissionGate } from '../jobs/submission.ts'
import { RepeatingTasks } from '../repeating-tasks.ts'
import type { EngineResources } from '../resources.ts'
import type { SchedulingDesk } from '../scheduling/desk.ts'
import type { CallRef, CallResult } from './call.ts'
import type { CallAccounts } from './call-accounts.ts'
import {
  attemptOf,
  type CallAnswer,
  type CallRequest,
  failureOf,
  outputsOf,
  type PendingCall,
  recordOf
} from './pending-call.ts'

/** How long a call was sent before it is asked after. */
const ASKED_AFTER_MS = 1_000
/** Tensors of calls that wait at one replica, here and in Valkey. */
const MAX_BYTES = 256 * 1024 ** 2
const FULL_RETRY_MS = 1_000
/** Before a call is tried again that a device gave back, so that one that gives back at once is not asked all the time. */
const AGAIN_AFTER_MS = 20

export type CallsParts = {
  cluster: Cluster
  serving: ServingModels
  gates: readonly SubmissionGate[]
  desk: SchedulingDesk
  accounts: CallAccounts
  /** How much tensors of calls may take at this replica, instead of 256 MiB. */
  maxBytes?: number
  ended: (call: { id: string; kind: 'inference'; state: string }) => void
}

/**
 * Synchronous inference, at the replica that the caller waits at. A call takes the pools and the scheduler that jobs take,
 * with no row written first:
 *
 *   asked --ticket to BullMQ, tensors to Valkey where another replica schedules--> in its pool, with the scheduler, or on a device --result--> answered
 *     ^                                        | the device left, gave it back, or nobody has it any more
 *     '------------- next epoch ---------------'
 *
 * It ends at its deadline in any case. As an inference changes nothing, it may run twice: the first answer counts.
 */
export class Calls {
  readonly #resources: EngineResources
  readonly #parts: CallsParts
  readonly #inputs: InferenceInputs
  readonly #pending = new Map<string, PendingCall>()
  readonly #tasks: RepeatingTasks
  #bytes = 0

  constructor(resources: EngineResources, parts: CallsParts) {
    this.#resources = resources
    this.#parts = parts
    this.#inputs = new InferenceInputs(resources)
    this.#tasks = new RepeatingTasks(resources.log)
  }

  start(): void {
    this.#tasks.every(ASKED_AFTER_MS, () => this.#askAfter())
  }

  /** Whoever still waits is told to ask elsewhere. */
  async stop(): Promise<void> {
    await this.#tasks.stop()
    for (const call of [...this.#pending.values()])
      this.#fail(call, 'failed', new SkerryError('unavailable', 'This replica stops: ask again'))
    await this.#parts.accounts.stop()
  }

  /** How many came in here and have not ended. */
  get waiting(): number {
    return this.#pending.size
  }

  /** A call that came in here and has not ended. */
  pending(id: string): { body: Uint8Array; deadlineAtMs: number } | undefined {
    return this.#pending.get(id)
  }

  /**
   * Answers what a device computed. Throws SkerryError: model-unknown, version-unknown, not-deployed, input-mismatch,
   * blob-unknown, deadline-infeasible, too-many-requests, inference-failed, not-in-time, unavailable. When the signal
   * aborts, nobody waits any more.
   */
  async infer(request: CallRequest, signal?: AbortSignal): Promise<CallAnswer> {
    const createdAtMs = this.#resources.nowMs()
    const { model, version, inputs, timeoutMs } = request
    const serving = await this.#parts.serving.of(model, version)
    checkInputs(inputs, serving.inputs)
    const job = {
      id: newId(),
      kind: 'inference',
      pool: deploymentPool(serving.deployment),
      priority: 0,
      model,
      version: serving.version,
      deployment: serving.deployment,
      targetDeviceId: null,
      selector: {},
      terms: { deadline: true, synchronous: true },
      maxAttempts: MAX_ATTEMPTS,
      ttlMs: timeoutMs,
      idempotencyKey: null,
      requestHash: null
    } satisfies Omit<NewJob, 'payload' | 'inputs'>
    for (const gate of this.#parts.gates) await gate.check(job)
    const { tensors, inline } = await this.#inputs.store(inputs, MAX_FRAME_BYTES)
    const body = inline ?? new Uint8Array()
    this.#makeRoom(body.byteLength)
    const { pool, priority, kind, deployment, selector, terms } = job
    return new Promise((resolve, reject) => {
      const call: PendingCall = {
        id: job.id,
        epoch: 1,
        request,
        version: serving.version,
        ticket: {
          origin: this.#parts.cluster.id,
          terms: { pool, priority, kind, model, deployment, target_device_id: null, selector, terms },
          payload: { inputs: tensors, outputs: serving.outputs.map(runnableOutput) }
        },
        body,
        isStored: false,
        createdAtMs,
        deadlineAtMs: createdAtMs + timeoutMs,
        sentAtMs: createdAtMs,
        attempts: [],
        runtimeKills: 0,
        // What was asked before this took some of the time.
        timer: setTimeout(() => void this.#late(call), createdAtMs + timeoutMs - this.#resources.nowMs()),
        resolve,
        reject
      }
      this.#pending.set(call.id, call)
      this.#bytes += body.byteLength
      if (signal?.aborted === true) this.#left(call)
      else signal?.addEventListener('abort', () => this.#left(call), { once: true })
      void this.#send(call)
    })
  }

  #makeRoom(bytes: number): void {
    if (this.#bytes + bytes <= (this.#parts.maxBytes ?? MAX_BYTES)) return
    throw new SkerryError(
      'too-many-requests',
      `${this.#pending.size} calls wait here with ${this.#bytes} bytes of tensors: try again in a second`,
      { members: { retryAfterMs: FULL_RETRY_MS } }
    )
  }

  onMessage(message: ToOrigin, body: Uint8Array): void {
    if (message.type === 'call-result') void this.#onResult(message, body)
    else for (const ref of message.calls) this.#onLost(ref, message.reason)
  }

  async #send(call: PendingCall): Promise<void> {
    if (!this.#pending.has(call.id)) return
    const { queue, nowMs, log } = this.#resources
    const { id, epoch, ticket, body } = call
    const leftMs = call.deadlineAtMs - nowMs()
    // Its timer ends it.
    if (leftMs <= 0) return
    call.sentAtMs = nowMs()
    const { pool, priority } = ticket.terms
    try {
      // Where this replica schedules, it has them. Should another one begin to, it finds none, and the call is sent again.
      call.isStored ||= !this.#parts.cluster.isScheduling
      const storing = call.isStored ? queue.bodies.put(id, body, leftMs) : undefined
      await Promise.all([storing, queue.add([{ id, epoch, pool, priority, data: ticket }])])
      if (this.#pending.has(id)) this.#parts.cluster.tell({ type: 'wake', pools: [pool] })
      else this.#drop(call)
    } catch (error) {
      log.warn({ err: error, call: id }, 'a call could not be queued; it is tried again')
    }
  }

  async #onResult(result: CallResult, body: Uint8Array): Promise<void> {
    const call = this.#pending.get(result.call.id)
    const { error } = result.frame
    // Late, or the failure of an attempt that was given up already.
    if (call === undefined || (error !== undefined && result.call.epoch !== call.epoch)) return
    const attempt = attemptOf(call, result, this.#resources.nowMs())
    call.attempts.push(attempt)
    if (error !== undefined) {
      this.#onError(call, error)
      return
    }
    try {
      const outputs = await outputsOf(this.#resources, result.frame, body)
      if (!this.#end(call, 'succeeded', null, result.call.epoch)) return
      const { queueMs, dispatchMs, transportMs, inferenceMs } = this.#resources.metrics
      queueMs.observe({ kind: 'inference' }, attempt.timings.queueMs)
      dispatchMs.observe({ kind: 'inference' }, attempt.timings.dispatchMs)
      transportMs.observe({ kind: 'inference' }, attempt.timings.transportMs)
      inferenceMs.observe({ runtime: attempt.runtime ?? 'unknown' }, attempt.timings.inferenceMs)
      call.resolve({ id: call.id, version: call.version, outputs, attempt })
    } catch (cause) {
      this.#resources.log.error({ err: cause, call: call.id }, 'the result of a call could not be read')
      const message = cause instanceof Error ? cause.message : String(cause)
      this.#failWith(call, { code: 'agent-failed', message })
    }
  }

  #onError(call: PendingCall, error: JobError & { retryable: boolean; killedRuntime?: boolean | undefined }): void {
    const { retryable, killedRuntime, ...plain } = error
    if (killedRuntime === true) call.runtimeKills += 1
    if (!retryable) this.#failWith(call, plain)
    else if (call.runtimeKills >= MAX_RUNTIME_KILLS)
      this.#failWith(call, { code: 'model-quarantined', message: `It ended two runtimes: ${plain.message}` })
    else if (call.attempts.filter((attempt) => attempt.error !== undefined).length >= MAX_ATTEMPTS)
      this.#failWith(call, { code: 'attempts-exhausted', message: `${MAX_ATTEMPTS} attempts failed: ${plain.message}` })
    else setTimeout(() => void this.#repeat(call), AGAIN_AFTER_MS * call.attempts.length)
  }

  #onLost({ id, epoch }: CallRef, reason: string): void {
    const call = this.#pending.get(id)
    if (call === undefined || call.epoch !== epoch) return
    this.#resources.log.info({ call: id, epoch, reason }, 'a call was lost and is tried again')
    void this.#repeat(call)
  }

  /** The model may be served by another deployment now, or by none. */
  async #repeat(call: PendingCall): Promise<void> {
    if (!this.#pending.has(call.id)) return
    call.epoch += 1
    call.sentAtMs = this.#resources.nowMs()
    this.#resources.metrics.callsRepeated.inc()
    try {
      const { model, version } = call.request
      const serving = await this.#parts.serving.of(model, version)
      call.version = serving.version
      const { terms, payload } = call.ticket
      const { deployment } = serving
      call.ticket = {
        ...call.ticket,
        terms: { ...terms, deployment, pool: deploymentPool(deployment) },
        payload: { ...payload, outputs: serving.outputs.map(runnableOutput) }
      }
      await this.#send(call)
    } catch (error) {
      if (error instanceof SkerryError) this.#fail(call, 'failed', error)
      else this.#resources.log.warn({ err: error, call: call.id }, 'a call could not be repeated; it is tried again')
    }
  }

  /** Of what was sent a while ago: what neither its pool, nor the scheduler, nor a device has is sent again. */
  async #askAfter(): Promise<void> {
    const { queue, nowMs } = this.#resources
    const all = [...this.#pending.values()].filter((call) => nowMs() - call.sentAtMs >= ASKED_AFTER_MS)
    if (all.length === 0) return
    const due = await this.#stillServed(all)
    const asked = due.map((call) => ({ id: call.id, epoch: call.epoch, ...placeOf(call) }))
    const present = await queue.present(asked)
    const waiting = asked.filter(({ id }) => present.has(id))
    // The wake-up may have been lost.
    if (waiting.length > 0)
      this.#parts.cluster.tell({ type: 'wake', pools: [...new Set(waiting.map(({ pool }) => pool))] })
    const missing = asked.filter(({ id }) => !present.has(id))
    if (missing.length === 0) return
    const keys = missing.map(({ id, epoch }) => jobKey(id, epoch))
    let held: Set<string>
    try {
      held = new Set((await this.#parts.cluster.ask('calls-held', keys)) as string[])
    } catch {
      // Nobody schedules at the moment; who does next is asked.
      return
    }
    for (const { id, epoch } of missing)
      if (!held.has(jobKey(id, epoch))) this.#onLost({ id, epoch }, 'nobody had it any more')
  }

  /** What came just when its deployment went may wait for devices that serve it no more: it is asked of another, or refused. */
  async #stillServed(calls: readonly PendingCall[]): Promise<PendingCall[]> {
    const { cluster } = this.#parts
    const names = new Set(calls.map(({ ticket }) => ticket.terms.deployment ?? ''))
    // While Postgres is away, calls go on.
    const found = await this.#resources.registry.deployments.terms([...names]).catch(() => null)
    if (found === null) return [...calls]
    const there = new Set(found.map(({ name }) => name))
    const isServed = ({ ticket }: PendingCall): boolean => there.has(ticket.terms.deployment ?? '')
    for (const call of calls.filter((each) => !isServed(each))) {
      cluster.tell({ type: 'call-ended', id: call.id, epoch: call.epoch })
      void this.#repeat(call)
    }
    return calls.filter(isServed)
  }

  async #late(call: PendingCall): Promise<void> {
    if (!this.#end(call, 'expired', { code: 'expired', message: `No answer came in ${call.request.timeoutMs} ms` }))
      return
    const terms = { ...call.ticket.terms, id: call.id }
    const summary = await this.#parts.desk.summary(terms)
    const told = summary === null ? '' : ` ${summary}`
    call.reject(new SkerryError('not-in-time', `No answer came in ${call.request.timeoutMs} ms.${told}`))
  }

  /** The caller hung up. */
  #left(call: PendingCall): void {
    this.#fail(call, 'cancelled', new SkerryError('unavailable', 'The caller left'))
  }

  #failWith(call: PendingCall, error: JobError): void {
    if (this.#end(call, 'failed', error)) call.reject(failureOf(error))
  }

  #fail(call: PendingCall, state: 'failed' | 'cancelled', error: SkerryError): void {
    if (this.#end(call, state, { code: error.code, message: error.message })) call.reject(error)
  }

  /** Once: false when it had ended. `doneEpoch`: the life that was answered, of which nothing is left to stop. */
  #end(
    call: PendingCall,
    state: Exclude<JobState, 'queued' | 'running'>,
    error: JobError | null,
    doneEpoch?: number
  ): boolean {
    if (!this.#pending.delete(call.id)) return false
    this.#bytes -= call.body.byteLength
    clearTimeout(call.timer)
    const { nowMs, metrics } = this.#resources
    this.#drop(call)
    if (call.epoch !== doneEpoch) this.#parts.cluster.tell({ type: 'call-ended', id: call.id, epoch: call.epoch })
    metrics.jobs.inc({ kind: 'inference', state })
    this.#parts.accounts.add(recordOf(call, state, error, nowMs()))
    this.#parts.ended({ id: call.id, kind: 'inference', state })
    return true
  }

  #drop({ id, isStored }: PendingCall): void {
    if (!isStored) return
    const { queue, log } = this.#resources
    queue.bodies
      .drop(id)
      .catch((cause) => log.debug({ err: cause, call: id }, 'the tensors of a call stay until its deadline'))
  }
}

const placeOf = ({ ticket }: PendingCall): { pool: string; priority: number } => ({
  pool: ticket.terms.pool,
  priority: ticket.terms.priority
})
