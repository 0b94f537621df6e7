import { isDeepStrictEqual } from 'node:util'
import {
  type AgentFrame,
  type BenchmarkFrame,
  type Capability,
  type DeviceFacts,
  type JobRef,
  type ResultFrame,
  SkerryError,
  type Slots
} from '@skerry/contracts'
import { writeProgress } from '@skerry/registry'
import type { Static } from 'typebox'
import { Batcher } from '../batcher.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { type Applied, type Completion, outcomeOf } from '../jobs/completion.ts'
import type { LatencyStore } from '../latency.ts'
import type { ManifestSigner } from '../manifest-signer.ts'
import type { EngineResources } from '../resources.ts'
import type { CallRoute } from '../synchronous/call.ts'
import { DeviceAdmission, decisive } from './admission.ts'
import type { Connection, Connections, Held } from './connections.ts'
import type { DeviceConfigs } from './device-configs.ts'
import type { DeviceDiagnostics } from './device-diagnostics.ts'
import { type DeviceLink, jobKey, type Release } from './fleet.ts'
import type { PlacementReports } from './placement-reports.ts'

export type Hello = {
  deviceId: string
  capabilities: Capability[]
  slots: Slots
  facts: DeviceFacts
  holding: JobRef[]
}

/**
 * Devices' connections to this replica, after their key was proven. What the scheduler has to know is told to it.
 *
 *   hello --> session + 1 --> adopt what the device still holds, give back what it lost --> welcome, desired --> frames
 *   socket closed --> credits gone; running jobs wait for the device's next hello, or for their lease
 */
export class Sessions {
  readonly #resources: EngineResources
  readonly #connections: Connections
  readonly #cluster: Cluster
  readonly #completion: Completion
  readonly #placements: PlacementReports
  readonly #latency: LatencyStore
  readonly #configs: DeviceConfigs
  readonly #diagnostics: DeviceDiagnostics
  readonly #admission: DeviceAdmission
  readonly #keys: Batcher<string, { publicKey: Buffer; revoked: boolean } | null>
  readonly #closings: Batcher<{ deviceId: string; session: number }, undefined>

  constructor(
    resources: EngineResources,
    parts: {
      connections: Connections
      cluster: Cluster
      completion: Completion
      placements: PlacementReports
      latency: LatencyStore
      configs: DeviceConfigs
      diagnostics: DeviceDiagnostics
      signer: ManifestSigner
    }
  ) {
    this.#resources = resources
    this.#connections = parts.connections
    this.#cluster = parts.cluster
    this.#completion = parts.completion
    this.#placements = parts.placements
    this.#latency = parts.latency
    this.#configs = parts.configs
    this.#diagnostics = parts.diagnostics
    this.#admission = new DeviceAdmission(resources, parts)
    const { deviceSessions } = resources.registry
    this.#keys = new Batcher(async (ids) => {
      const keys = await deviceSessions.publicKeys(ids)
      return ids.map((id) => keys.get(id) ?? null)
    })
    this.#closings = new Batcher(async (sessions) => {
      await deviceSessions.close(sessions)
      return sessions.map(() => undefined)
    })
  }

  /** A device's key, null where none was enrolled; of many devices that come at once in one statement. */
  async publicKey(deviceId: string): Promise<{ publicKey: Buffer; revoked: boolean } | null> {
    return this.#keys.submit(deviceId)
  }

  /**
   * Opens the device's next session and answers its number; the link has been welcomed by then. Null where `isGone` came
   * true while others were taken in. Throws `device-unproven` where `publicKey`, which was proven, has been replaced
   * meanwhile.
   */
  async open(
    hello: Hello,
    publicKey: Uint8Array,
    link: DeviceLink,
    isGone: () => boolean = () => false
  ): Promise<number | null> {
    const admitted = await this.#admission.admit({ hello, publicKey, link, isGone })
    if ('error' in admitted) throw admitted.error
    if (!admitted.isProven)
      throw new SkerryError('device-unproven', 'The key that proved the device is its key no more')
    return admitted.session
  }

  async close(deviceId: string, session: number): Promise<void> {
    if (!this.#connections.close(deviceId, session)) return
    this.#cluster.tell({ type: 'disconnected', deviceId, session })
    await this.#closings.submit({ deviceId, session })
    this.#resources.log.info({ device: deviceId, session }, 'device disconnected')
  }

  /** Any sign of life: a frame or a pong. */
  heard(deviceId: string, session: number): void {
    const current = this.#connections.current(deviceId, session)
    if (current !== undefined) current.lastHeardAtMs = this.#resources.nowMs()
  }

  /** Frames of a session that is not the device's current one are void. */
  async onFrame(deviceId: string, session: number, frame: AgentFrame, body: Uint8Array): Promise<void> {
    const current = this.#connections.current(deviceId, session)
    if (current === undefined) return
    current.lastHeardAtMs = this.#resources.nowMs()
    switch (frame.type) {
      case 'heartbeat':
        this.#connections.noteHealth(current, frame.health)
        this.#cluster.tell({ type: 'health', deviceId, session, health: frame.health })
        return
      case 'latency':
        await this.#latency.add(deviceId, frame)
        current.link.send({ type: 'latency-ack', seq: frame.seq })
        return
      case 'benchmark':
        await this.#onBenchmark(current, frame)
        return
      case 'placement':
        await this.#placements.onReport(current, frame)
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
  async #onFacts(current: Connection, { slots, facts }: { slots: Slots; facts: DeviceFacts }): Promise<void> {
    const { devices } = this.#resources.registry
    const { deviceId, session } = current
    const { capabilities } = await devices.record(deviceId)
    current.slots = allowedSlots(capabilities, slots)
    const changed = !isDeepStrictEqual(decisive(current.facts), decisive(facts))
    current.facts = facts
    await devices.writeFacts(deviceId, current.slots, facts)
    this.#cluster.tell({ type: 'facts', deviceId, session, slots: current.slots, facts, changed })
  }

  /** Of an artifact that is gone nobody asks any more; it is acknowledged, so that the device forgets it too. */
  async #onBenchmark(current: Connection, { id, benchmark }: Static<typeof BenchmarkFrame>): Promise<void> {
    const { models, measurements } = this.#resources.registry
    const { deviceId, session, link } = current
    if ((await models.servedVariant('', benchmark.artifact)) !== null) {
      await measurements.storeBenchmark(deviceId, benchmark, id)
      const { artifact, runtime, p50Ms, runs } = benchmark
      this.#cluster.tell({ type: 'measured', deviceId, session, artifact, runtime, p50Ms, runs })
    }
    link.send({ type: 'benchmark-ack', id })
  }

  async #onResult(current: Connection, frame: ResultFrame, body: Uint8Array): Promise<void> {
    const { deviceId, session, running } = current
    const arrivedAtMs = this.#resources.nowMs()
    const key = jobKey(frame.jobId, frame.epoch)
    const held = running.get(key)
    const { status, outcome } =
      held?.call === undefined
        ? await this.#completion.onResult(deviceId, frame, body)
        : this.#onCallResult(deviceId, held, held.call, frame, body)
    running.delete(key)
    const sentAtMs = held?.sentAtMs
    const release: Release = { deviceId, key, outcome }
    if (sentAtMs !== undefined) release.roundTripMs = arrivedAtMs - sentAtMs
    this.#cluster.tell({ type: 'released', session, release })
    if (outcome === 'succeeded' && frame.benchmark !== undefined) {
      const { artifact, runtime, p50Ms, runs } = frame.benchmark
      this.#cluster.tell({ type: 'measured', deviceId, session, artifact, runtime, p50Ms, runs })
    }
    current.link.send({ type: 'ack', jobId: frame.jobId, epoch: frame.epoch, status })
  }

  /** Who waits for it knows whether it is still wanted. */
  #onCallResult(
    device: string,
    held: Held,
    { origin, variant }: CallRoute,
    frame: ResultFrame,
    body: Uint8Array
  ): Applied {
    const { jobId: id, epoch, dispatchMs = 0, sentAtMs } = held
    const nowMs = this.#resources.nowMs()
    const roundTripMs = nowMs - (sentAtMs ?? nowMs)
    this.#cluster.toOrigin(
      origin,
      { type: 'call-result', call: { id, epoch }, device, variant, frame, dispatchMs, roundTripMs },
      body
    )
    return { status: 'accepted', outcome: outcomeOf(frame) }
  }
}

/** A device gets no work that its enrolment did not allow, whatever it says of itself. */
function allowedSlots(capabilities: readonly Capability[], { infer, convert }: Slots): Slots {
  return {
    infer: capabilities.includes('infer') ? infer : 0,
    convert: capabilities.includes('convert') ? convert : 0
  }
}
