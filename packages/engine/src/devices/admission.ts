import { isDeepStrictEqual } from 'node:util'
import { CONTROL_PLANE_FEATURES, type DeviceFacts, HEARTBEAT_MS } from '@skerry/contracts'
import { type Adopted, adoptRunning, type OpenedSession } from '@skerry/registry'
import { Batcher } from '../batcher.ts'
import type { Cluster } from '../cluster/cluster.ts'
import { desiredFor } from '../deployments/desired.ts'
import { distinctRounds } from '../distinct-rounds.ts'
import type { Completion } from '../jobs/completion.ts'
import type { ManifestSigner } from '../manifest-signer.ts'
import type { EngineResources } from '../resources.ts'
import { slotOf } from '../scheduling/work.ts'
import { type Connection, type Connections, type Held, stateOf } from './connections.ts'
import { configFrameOf } from './device-configs.ts'
import { type DeviceLink, jobKey } from './fleet.ts'
import type { Hello } from './sessions.ts'

export type Applicant = {
  hello: Hello
  /** By which the device has proven itself. */
  publicKey: Uint8Array
  link: DeviceLink
  /** Its socket closed while it waited; nobody is there to be welcomed. */
  isGone: () => boolean
}
/** `session` is null for an applicant that was gone, or whose key is the device's no more. */
export type Admitted = { session: number | null; isProven: boolean } | { error: unknown }

type Entry = { applicant: Applicant; opened: OpenedSession; connection: Connection }

/**
 * Devices that are taken in at a time. After a restart of the control plane all of them come in one moment: a few statements
 * for many of them, and one batch after the other, so that jobs find a connection to Postgres meanwhile and no device waits
 * longer than its patience.
 */
const AT_ONCE = 100

/** Opens sessions, for many devices in the same few statements. */
export class DeviceAdmission {
  readonly #resources: EngineResources
  readonly #connections: Connections
  readonly #cluster: Cluster
  readonly #completion: Completion
  readonly #signer: ManifestSigner
  readonly #batcher: Batcher<Applicant, Admitted>

  constructor(
    resources: EngineResources,
    parts: { connections: Connections; cluster: Cluster; completion: Completion; signer: ManifestSigner }
  ) {
    this.#resources = resources
    this.#connections = parts.connections
    this.#cluster = parts.cluster
    this.#completion = parts.completion
    this.#signer = parts.signer
    this.#batcher = new Batcher((applicants) => this.#admitAll(applicants), { limit: AT_ONCE })
  }

  admit(applicant: Applicant): Promise<Admitted> {
    return this.#batcher.submit(applicant)
  }

  async #admitAll(applicants: Applicant[]): Promise<Admitted[]> {
    const answers = new Map<Applicant, Admitted>()
    const present = applicants.filter((each) => !each.isGone())
    for (const round of distinctRounds(present, ({ hello }) => hello.deviceId)) await this.#admit(round, answers)
    return applicants.map((each) => answers.get(each) ?? { session: null, isProven: true })
  }

  async #admit(applicants: Applicant[], answers: Map<Applicant, Admitted>): Promise<void> {
    let opened: Map<string, OpenedSession>
    try {
      opened = await this.#open(applicants)
    } catch (error) {
      // What one of them says of itself is nothing that Postgres takes: the others must not suffer for it.
      if (!isDataError(error) || applicants.length === 1) {
        for (const applicant of applicants) answers.set(applicant, { error })
        return
      }
      const half = applicants.length >> 1
      await this.#admit(applicants.slice(0, half), answers)
      await this.#admit(applicants.slice(half), answers)
      return
    }
    const entries: Entry[] = []
    try {
      await this.#welcome(applicants, opened, entries, answers)
    } catch (error) {
      for (const entry of entries) this.#dismiss(entry, error, answers)
    }
  }

  /** It was taken in, and is to come again. */
  #dismiss({ applicant, connection }: Entry, error: unknown, answers: Map<Applicant, Admitted>): void {
    const { deviceId, session } = connection
    if (this.#connections.close(deviceId, session)) this.#cluster.tell({ type: 'disconnected', deviceId, session })
    answers.set(applicant, { error })
  }

  #open(applicants: readonly Applicant[]): Promise<Map<string, OpenedSession>> {
    const openings = applicants.map(({ hello, publicKey }) => ({
      deviceId: hello.deviceId,
      publicKey,
      slots: hello.slots,
      facts: hello.facts
    }))
    return this.#resources.registry.deviceSessions.open(openings, this.#cluster.id)
  }

  async #welcome(
    applicants: readonly Applicant[],
    openedOf: ReadonlyMap<string, OpenedSession>,
    entries: Entry[],
    answers: Map<Applicant, Admitted>
  ): Promise<void> {
    const { registry } = this.#resources
    const adopting = applicants.flatMap(({ hello: { deviceId, holding } }) => {
      const session = openedOf.get(deviceId)?.session
      return session === undefined ? [] : [{ deviceId, session, holding }]
    })
    for (const { deviceId, session } of adopting) {
      const before = openedOf.get(deviceId)?.before ?? null
      if (before !== null) this.#cluster.supersede(before, deviceId, session)
    }
    const adopted = await adoptRunning(registry.pool, adopting)
    for (const applicant of applicants) {
      const opened = openedOf.get(applicant.hello.deviceId)
      if (opened === undefined) {
        answers.set(applicant, { session: null, isProven: false })
        continue
      }
      const connection = this.#connectionOf(applicant, opened, adopted.get(applicant.hello.deviceId))
      answers.set(applicant, { session: opened.session, isProven: true })
      applicant.link.send({
        type: 'welcome',
        session: opened.session,
        httpToken: opened.httpToken,
        heartbeatMs: HEARTBEAT_MS,
        controlPlanePublicKey: this.#signer.publicKeyBase64,
        understands: [...CONTROL_PLANE_FEATURES]
      })
      this.#connections.open(connection)
      entries.push({ applicant, opened, connection })
    }
    const ids = entries.map(({ connection }) => connection.deviceId)
    // Whoever replaced a key after it was proven found no session here to end.
    const keys = await registry.deviceSessions.publicKeys(ids)
    for (const { applicant, connection } of entries) {
      const holder = keys.get(connection.deviceId)
      if (holder === undefined || holder.revoked || !holder.publicKey.equals(applicant.publicKey))
        connection.link.close('the key of this device was replaced')
    }
    for (const entry of entries)
      await this.#settle(entry, adopted.get(entry.connection.deviceId)).catch((error) =>
        this.#dismiss(entry, error, answers)
      )
    // What is decided from here on the scheduler sends by itself: it knows of these connections.
    const desired = await desiredFor(registry, ids)
    for (const { connection } of entries)
      connection.link.send({ type: 'desired', artifacts: desired.get(connection.deviceId) ?? [] })
  }

  #connectionOf({ hello, link }: Applicant, { session, record }: OpenedSession, adopted?: Adopted): Connection {
    // What it holds keeps its slot busy, even a job that was given to another device meanwhile.
    const running = new Map<string, Held>()
    for (const ref of hello.holding) running.set(jobKey(ref.jobId, ref.epoch), { ...ref, slot: 'infer' })
    for (const { id, epoch, kind } of adopted?.kept ?? [])
      running.set(jobKey(id, epoch), { jobId: id, epoch, slot: slotOf(kind) })
    return {
      deviceId: hello.deviceId,
      name: record.name,
      session,
      link,
      state: record.state,
      labels: record.labels,
      taints: record.taints,
      capabilities: record.capabilities,
      facts: hello.facts,
      slots: record.slots,
      health: null,
      running,
      ready: new Map(),
      lastHeardAtMs: this.#resources.nowMs()
    }
  }

  async #settle({ applicant: { hello }, opened, connection }: Entry, adopted?: Adopted): Promise<void> {
    const { link, deviceId, name, session } = connection
    const { kept = [], lost = [] } = adopted ?? {}
    const keptKeys = new Set(kept.map((row) => jobKey(row.id, row.epoch)))
    for (const ref of hello.holding)
      if (!keptKeys.has(jobKey(ref.jobId, ref.epoch))) link.send({ type: 'cancel', jobId: ref.jobId, epoch: ref.epoch })
    for (const row of lost) {
      const error = { code: 'device-lost', message: `Device ${name} came back without the job: its agent restarted` }
      await this.#completion.giveBack({ id: row.id, epoch: row.epoch, deviceId, error, killedRuntime: false }, row.kind)
    }
    // Before what it should serve, so that nothing is loaded twice.
    const config = configFrameOf(hello.facts, opened.configRevision, opened.config)
    if (config !== null) link.send(config)
    const changed = !isDeepStrictEqual(decisive(opened.factsBefore), decisive(hello.facts))
    this.#cluster.tell({ type: 'connected', connection: stateOf(connection), changed })
    this.#resources.log.info({ device: name, session, kept: kept.length, lost: lost.length }, 'device connected')
  }
}

/** What of a device's words decides what it should serve. */
export const decisive = ({ arch, cpuModel, cores, memoryBytes, runtimes }: DeviceFacts) => ({
  ...{ arch, cpuModel, cores, memoryBytes },
  runtimes: runtimes.map(({ name, version }) => ({ name, version }))
})

/** Postgres's class of errors about the values that it was given. */
const isDataError = (error: unknown): boolean => String((error as { code?: unknown } | null)?.code).startsWith('22')
