import {
  type AgentFrame,
  type BenchmarkFrame,
  type Capability,
  CONTROL_PLANE_FEATURES,
  type DeviceFacts,
  HEARTBEAT_MS,
  type JobRef,
  type ResultFrame,
  type Slots
} from '@skerry/contracts'
import { adoptRunning, writeProgress } from '@skerry/registry'
import { slotKind } from '@skerry/scheduler'
import type { Static } from 'typebox'
import type { DeploymentReconciler } from '../deployments/reconciler.ts'
import type { Completion } from '../jobs/completion.ts'
import type { Dispatcher } from '../jobs/dispatcher.ts'
import type { LatencyStore } from '../latency.ts'
import type { ManifestSigner } from '../manifest-signer.ts'
import type { EngineResources } from '../resources.ts'
import type { DeviceConfigs } from './device-configs.ts'
import type { DeviceDiagnostics } from './device-diagnostics.ts'
import { type DeviceLink, type Fleet, jobKey, type Session } from './fleet.ts'

export type Hello = {
  deviceId: string
  capabilities: Capability[]
  slots: Slots
  facts: DeviceFacts
  holding: JobRef[]
}

/**
 * Devices' connections, after their key was proven.
 *
 *   hello --> session + 1 --> adopt what the device still holds, give back what it lost --> welcome, desired --> frames
 *   socket closed --> credits gone; running jobs wait for the device's next hello, or for their lease
 */
export class Sessions {
  readonly #resources: EngineResources
  readonly #fleet: Fleet
  readonly #dispatcher: Dispatcher
  readonly #completion: Completion
  readonly #reconciler: DeploymentReconciler
  readonly #latency: LatencyStore
  readonly #configs: DeviceConfigs
  readonly #diagnostics: DeviceDiagnostics
  readonly #signer: ManifestSigner

  constructor(
    resources: EngineResources,
    parts: {
      fleet: Fleet
      dispatcher: Dispatcher
      completion: Completion
      reconciler: DeploymentReconciler
      latency: LatencyStore
      configs: DeviceConfigs
      diagnostics: DeviceDiagnostics
      signer: ManifestSigner
    }
  ) {
    this.#resources = resources
    this.#fleet = parts.fleet
    this.#dispatcher = parts.dispatcher
    this.#completion = parts.completion
    this.#reconciler = parts.reconciler
    this.#latency = parts.latency
    this.#configs = parts.configs
    this.#diagnostics = parts.diagnostics
    this.#signer = parts.signer
  }

  /**
   * Opens the device's next session and answers its number; the link has been welcomed by then. Throws `device-unproven`
   * where `publicKey`, which was proven, has been replaced meanwhile.
   */
  async open(hello: Hello, publicKey: Uint8Array, link: DeviceLink): Promise<number> {
    const { registry, nowMs } = this.#resources
    const { capabilities } = await registry.devices.record(hello.deviceId)
    const slots = allowedSlots(capabilities, hello.slots)
    const { session, httpToken } = await registry.devices.openSession(hello.deviceId, publicKey, slots, hello.facts)
    const record = await registry.devices.record(hello.deviceId)
    const { kept, lost } = await adoptRunning(registry.pool, hello.deviceId, session, hello.holding)
    // What it holds keeps its slot busy, even a job that was given to another device meanwhile.
    const running = new Map(hello.holding.map((ref) => [jobKey(ref.jobId, ref.epoch), 'infer' as 'infer' | 'convert']))
    for (const row of kept) running.set(jobKey(row.id, row.epoch), slotKind(row.kind))
    const entry: Session = {
      deviceId: hello.deviceId,
      name: record.name,
      session,
      link,
      labels: record.labels,
      slots,
      accepts: !record.cordoned,
      refusing: false,
      running,
      ready: new Map(),
      lastAssignedAtMs: 0,
      lastHeardAtMs: nowMs()
    }
    link.send({
      type: 'welcome',
      session,
      httpToken,
      heartbeatMs: HEARTBEAT_MS,
      controlPlanePublicKey: this.#signer.publicKeyBase64,
      understands: [...CONTROL_PLANE_FEATURES]
    })
    this.#fleet.connect(entry)
    // Whoever replaced the key after it was proven found no session here to end.
    const holder = await registry.devices.publicKey(hello.deviceId)
    if (holder === null || holder.revoked || !holder.publicKey.equals(publicKey))
      link.close('the key of this device was replaced')
    const keptKeys = new Set(kept.map((row) => jobKey(row.id, row.epoch)))
    for (const ref of hello.holding)
      if (!keptKeys.has(jobKey(ref.jobId, ref.epoch))) link.send({ type: 'cancel', jobId: ref.jobId, epoch: ref.epoch })
    for (const row of lost) {
      const error = {
        code: 'device-lost',
        message: `Device ${record.name} came back without the job: its agent restarted`
      }
      const requeue = { id: row.id, epoch: row.epoch, deviceId: hello.deviceId, error, killedRuntime: false }
      await this.#completion.giveBack(requeue, row.kind)
    }
    // Before what it should serve, so that nothing is loaded twice.
    await this.#configs.begin(entry)
    link.send({ type: 'desired', artifacts: await this.#reconciler.desiredFor(hello.deviceId) })
    this.#reconciler.scheduleAll()
    this.#dispatcher.wakeAll()
    this.#resources.log.info({ device: record.name, session, kept: kept.length, lost: lost.length }, 'device connected')
    return session
  }

  async close(deviceId: string, session: number): Promise<void> {
    if (!this.#fleet.disconnect(deviceId, session)) return
    await this.#resources.registry.devices.closeSession(deviceId, session)
    this.#resources.log.info({ device: deviceId, session }, 'device disconnected')
  }

  /** Any sign of life: a frame or a pong. */
  heard(deviceId: string, session: number): void {
    const current = this.#fleet.current(deviceId, session)
    if (current !== undefined) current.lastHeardAtMs = this.#resources.nowMs()
  }

  /** Frames of a session that is not the device's current one are void. */
  async onFrame(deviceId: string, session: number, frame: AgentFrame, body: Uint8Array): Promise<void> {
    const current = this.#fleet.current(deviceId, session)
    if (current === undefined) return
    current.lastHeardAtMs = this.#resources.nowMs()
    switch (frame.type) {
      case 'heartbeat':
        if (this.#fleet.noteHealth(deviceId, frame.health, this.#resources.nowMs())) this.#dispatcher.wakeAll()
        return
      case 'latency':
        await this.#latency.add(deviceId, frame)
        current.link.send({ type: 'latency-ack', seq: frame.seq })
        return
      case 'benchmark':
        await this.#onBenchmark(current, frame)
        return
      case 'placement':
        await this.#reconciler.onReport(current, frame)
        return
      case 'progress':
        await writeProgress(this.#resources.registry.pool, frame.jobId, frame.epoch, deviceId, frame.progress)
        return
      case 'result':
        await this.#onResult(current, frame, body)
        return
      case 'facts':
        await this.#onFacts(current, frame)
        return
      case 'config-report':
        await this.#configs.onReport(current, frame)
        return
      case 'diagnostics':
        await this.#diagnostics.onFrame(current, frame)
        return
      case 'hello':
        current.link.close('hello was said already')
    }
  }

  /** Other slots count at once; other runtimes may mean other placements. */
  async #onFacts(current: Session, { slots, facts }: { slots: Slots; facts: DeviceFacts }): Promise<void> {
    const { devices } = this.#resources.registry
    const { capabilities } = await devices.record(current.deviceId)
    current.slots = allowedSlots(capabilities, slots)
    await devices.writeFacts(current.deviceId, current.slots, facts)
    this.#reconciler.scheduleAll()
    this.#dispatcher.wakeAll()
  }

  /** Of an artifact that is gone nobody asks any more; it is acknowledged, so that the device forgets it too. */
  async #onBenchmark({ deviceId, link }: Session, { id, benchmark }: Static<typeof BenchmarkFrame>): Promise<void> {
    const { models, measurements } = this.#resources.registry
    if ((await models.servedVariant('', benchmark.artifact)) !== null)
      await measurements.storeBenchmark(deviceId, benchmark, id)
    link.send({ type: 'benchmark-ack', id })
  }

  async #onResult(current: Session, frame: ResultFrame, body: Uint8Array): Promise<void> {
    const status = await this.#completion.onResult(current.deviceId, frame, body)
    this.#fleet.release(current.deviceId, jobKey(frame.jobId, frame.epoch))
    this.#dispatcher.pump()
    current.link.send({ type: 'ack', jobId: frame.jobId, epoch: frame.epoch, status })
  }
}

/** A device gets no work that its enrolment did not allow, whatever it says of itself. */
function allowedSlots(capabilities: readonly Capability[], { infer, convert }: Slots): Slots {
  return {
    infer: capabilities.includes('infer') ? infer : 0,
    convert: capabilities.includes('convert') ? convert : 0
  }
}
