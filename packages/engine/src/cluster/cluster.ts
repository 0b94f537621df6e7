import { INFERENCE_LEASE_MS } from '@skerry/contracts'
import type { BusMessage } from '@skerry/queue'
import type { Fence } from '@skerry/registry'
import { type Connections, stateOf } from '../devices/connections.ts'
import { jobKey } from '../devices/fleet.ts'
import type { EngineResources } from '../resources.ts'
import type { ActiveScheduler } from './active-scheduler.ts'
import { Election } from './election.ts'
import type { ClusterMessage, ToAll, ToDevice, ToHolder, ToOrigin, ToScheduler } from './messages.ts'
import { Questions } from './questions.ts'

const HEARTBEAT_MS = 2_000
const CONNECTIONS_PER_MESSAGE = 200
const NO_BODY = new Uint8Array()

export type ClusterParts = {
  connections: Connections
  /** Makes the scheduler of a term that this replica was elected for. */
  scheduler: (fence: Fence, cluster: Cluster) => ActiveScheduler
  onEnded: (ids: string[]) => void
  onServingChanged: () => void
  /** For calls that came in here. */
  onCalls: (message: ToOrigin, body: Uint8Array) => void
}

/**
 * This replica among the others: passes messages between the replica that schedules and those that hold devices' sockets.
 * Where both are this one, that is a function call.
 *
 *   standby --lease taken--> taking over (all replicas announce their devices, queued rows are swept) --> scheduling
 *   scheduling --lease lost, or stop--> standby
 */
export class Cluster {
  readonly id: string
  readonly #resources: EngineResources
  readonly #parts: ClusterParts
  readonly #election: Election
  readonly #questions: Questions
  #scheduler: ActiveScheduler | null = null
  #known: Fence | null = null
  #others = new Set<string>()
  /** The one that gave scheduling up of itself, so that it lives. */
  #vacatedBy: string | null = null
  #heartbeats: NodeJS.Timeout | undefined
  #registered = false
  #startedAtMs = 0
  #ended: string[] | null = null
  /** What this replica decided last, when it scheduled, may not have reached its devices. */
  #owesVerification = false

  constructor(resources: EngineResources, parts: ClusterParts) {
    this.id = resources.bus.id
    this.#resources = resources
    this.#parts = parts
    this.#election = new Election(resources, {
      elected: (fence) => this.#takeOver(fence),
      deposed: (fence) => this.#stepDown(fence),
      learned: (fence) => this.#learn(fence)
    })
    this.#questions = new Questions((to, message) => resources.bus.send(to, message))
  }

  get isScheduling(): boolean {
    return this.#scheduler !== null
  }

  /** The replica that schedules, as far as is known here. */
  get schedulerId(): string | null {
    return this.#known?.holder ?? null
  }

  get term(): number {
    return this.#known?.term ?? 0
  }

  /** Resolves once this replica schedules, or knows that another one does. */
  async start(): Promise<void> {
    const { bus } = this.#resources
    await bus.start({
      onMessage: (from, message, body) => this.#onMessage(from, message as ClusterMessage, body),
      onGap: (from) => this.#onGap(from),
      onReconnected: () => this.#agreeAnew()
    })
    this.#startedAtMs = this.#resources.nowMs()
    await this.#heartbeat()
    this.broadcast({ type: 'joined' })
    this.#heartbeats = setInterval(() => void this.#heartbeat().catch(this.#failed), HEARTBEAT_MS)
    await this.#election.start()
  }

  /** Ends scheduling here, and lets another replica begin at once. */
  async standDown(): Promise<void> {
    await this.#election.stop()
  }

  async stop(): Promise<void> {
    await this.standDown()
    clearInterval(this.#heartbeats)
    await this.#resources.registry.replicas.leave(this.id)
    this.#questions.stop()
    this.#resources.bus.close()
  }

  /** To whoever schedules; nobody does for seconds at most, and then all is told anew. */
  tell(message: ToScheduler): void {
    if (this.#scheduler !== null) this.#scheduler.receive(this.id, message)
    else if (this.#known !== null && this.#known.holder !== this.id) this.#send(this.#known.holder, message)
  }

  /** To the replica that holds a device's socket. Answers the message's number, 0 within this process. */
  toHolder(to: string, message: ToHolder, body?: readonly Uint8Array[]): number {
    if (to !== this.id) return this.#send(to, message, body)
    this.#onHolderMessage(message, body)
    return 0
  }

  /** To the replica that a caller waits at. */
  toOrigin(to: string, message: ToOrigin, body: Uint8Array = NO_BODY): void {
    if (to === this.id) this.#parts.onCalls(message, body)
    else this.#send(to, message, [body])
  }

  /** To the device, whichever replica holds its socket. False when it is connected to none. */
  async toDevice(deviceId: string, message: ToDevice): Promise<boolean> {
    if (this.#parts.connections.get(deviceId) !== undefined) this.#onDeviceMessage(message)
    else {
      const holder = await this.#resources.registry.devices.holder(deviceId)
      if (holder === null || holder === this.id) return false
      this.#send(holder, message)
    }
    return true
  }

  supersede(replica: string, deviceId: string, session: number): void {
    if (replica !== this.id) this.#send(replica, { type: 'superseded', deviceId, session })
  }

  broadcast(message: ToAll): void {
    this.#resources.bus.broadcast(message)
  }

  /** Wakes whoever waits for a job or diagnostics at any replica; ids of one turn travel together. */
  ended(id: string): void {
    this.#parts.onEnded([id])
    if (this.#others.size === 0) return
    if (this.#ended !== null) {
      this.#ended.push(id)
      return
    }
    this.#ended = [id]
    setImmediate(() => {
      const ids = this.#ended ?? []
      this.#ended = null
      this.broadcast({ type: 'ended', ids })
    })
  }

  /** Asks the replica that schedules; what it answers by that name stands in ActiveScheduler. Throws when nobody answers. */
  async ask(name: string, payload: unknown): Promise<unknown> {
    if (this.#scheduler !== null) return this.#scheduler.answer(name, payload)
    if (this.#known === null || this.#known.holder === this.id) throw new Error('no replica schedules at the moment')
    return this.#questions.ask(this.#known.holder, name, payload)
  }

  #send(to: string, message: ClusterMessage, body?: readonly Uint8Array[]): number {
    return this.#resources.bus.send(to, message, body)
  }

  async #takeOver(fence: Fence): Promise<void> {
    const { log, metrics } = this.#resources
    log.info({ term: fence.term }, 'this replica schedules now')
    const before = this.#known?.holder
    this.#known = fence
    this.#parts.connections.setTerm(fence.term)
    const scheduler = this.#parts.scheduler(fence, this)
    this.#scheduler = scheduler
    metrics.scheduling.set(1)
    for (const connection of this.#parts.connections.all())
      scheduler.receive(this.id, { type: 'connected', connection: stateOf(connection) })
    this.broadcast({ type: 'scheduling', term: fence.term })
    // Whose lease lapsed is dead or paused: it announces nothing, or does so when it wakes.
    const others = [...this.#others].filter((id) => id !== before || id === this.#vacatedBy)
    await scheduler.start(others, others.length === 0 && (before === this.id || this.#isNew()))
  }

  /** Devices had no time to come here yet. */
  #isNew(): boolean {
    return this.#resources.nowMs() - this.#startedAtMs < INFERENCE_LEASE_MS
  }

  async #stepDown(fence: Fence): Promise<void> {
    const scheduler = this.#scheduler
    this.#scheduler = null
    this.#resources.metrics.scheduling.set(0)
    await scheduler?.stop()
    this.#owesVerification = true
    this.#resources.log.info({ term: fence.term }, 'this replica schedules no more')
  }

  #learn(fence: Fence): void {
    if (this.#known !== null && fence.term <= this.#known.term) return
    this.#known = fence
    this.#parts.connections.setTerm(fence.term)
    this.#announce()
    if (this.#owesVerification) this.tell({ type: 'verify' })
    this.#owesVerification = false
  }

  /** All that is connected here, to a scheduler elsewhere. */
  #announce(): void {
    if (this.#known === null || this.#known.holder === this.id) return
    const { holder, term } = this.#known
    const heard = this.#resources.bus.heard(holder)
    const all = [...this.#parts.connections.all()].map(stateOf)
    for (let at = 0; at === 0 || at < all.length; at += CONNECTIONS_PER_MESSAGE) {
      const connections = all.slice(at, at + CONNECTIONS_PER_MESSAGE)
      const last = at + CONNECTIONS_PER_MESSAGE >= all.length
      this.#send(holder, { type: 'announcement', term, heard, connections, last })
    }
  }

  async #heartbeat(): Promise<void> {
    const { registry } = this.#resources
    const { isNew, others } = await registry.replicas.heartbeat(this.id)
    this.#others = new Set(others)
    if (isNew && this.#registered) {
      const open = [...this.#parts.connections.all()].map(({ deviceId, session }) => ({ deviceId, session }))
      await registry.replicas.reopen(this.id, open)
      this.#agreeAnew()
    }
    this.#registered = true
    if (this.#scheduler === null) this.tell({ type: 'alive' })
  }

  #agreeAnew(): void {
    if (this.#scheduler !== null) this.broadcast({ type: 'scheduling', term: this.#scheduler.fence.term })
    else this.#announce()
  }

  #onGap(from: string): void {
    if (this.#scheduler !== null) this.#send(from, { type: 'announce', term: this.#scheduler.fence.term })
    else if (from === this.#known?.holder) this.#announce()
  }

  #onMessage(from: string, message: ClusterMessage & BusMessage, body: Uint8Array): void {
    switch (message.type) {
      case 'joined':
        this.#others.add(from)
        // Its devices are known from then on; it learns at once who schedules.
        if (this.#scheduler !== null) this.#send(from, { type: 'announce', term: this.#scheduler.fence.term })
        return
      case 'vacant':
        this.#vacatedBy = from
        this.#election.hurry()
        return
      case 'scheduling':
      case 'announce':
        this.#onScheduling(from, message.term)
        return
      case 'frame':
      case 'close':
        this.#onHolderMessage(message, body.byteLength === 0 ? undefined : [body])
        return
      case 'superseded':
      case 'device-frame':
      case 'device-close':
        this.#onDeviceMessage(message)
        return
      case 'ended':
        this.#parts.onEnded(message.ids)
        return
      case 'serving-changed':
        this.#parts.onServingChanged()
        return
      case 'call-result':
      case 'calls-lost':
        this.#parts.onCalls(message, body)
        return
      case 'ask':
        void this.#questions.answer(from, message, async (name, payload) => {
          if (this.#scheduler === null) throw new Error('this replica schedules no more')
          return this.#scheduler.answer(name, payload)
        })
        return
      case 'answer':
        this.#questions.answered(message)
        return
      default:
        this.#scheduler?.receive(from, message)
    }
  }

  #onScheduling(holder: string, term: number): void {
    if (term < this.term) return
    if (this.#scheduler !== null && term > this.#scheduler.fence.term) this.#election.hurry()
    if (term === this.term) this.#announce()
    else this.#learn({ domain: this.#known?.domain ?? '', holder, term })
  }

  #onHolderMessage(message: ToHolder, body: readonly Uint8Array[] | undefined): void {
    const { connections } = this.#parts
    if (message.type === 'announce') {
      this.#announce()
      return
    }
    const { deviceId, session } = message
    if (message.type === 'close') {
      if (connections.isCurrentTerm(message.term)) connections.current(deviceId, session)?.link.close(message.reason)
      return
    }
    const { frame } = message
    if (connections.deliver(message, body) !== 'absent' || frame.type !== 'cancel') return
    const release = { deviceId, key: jobKey(frame.jobId, frame.epoch), outcome: 'void' as const }
    this.tell({ type: 'released', session, release })
  }

  #onDeviceMessage(message: ToDevice): void {
    const { connections } = this.#parts
    if (message.type === 'superseded') connections.supersede(message.deviceId, message.session)
    else if (message.type === 'device-close') connections.get(message.deviceId)?.link.close(message.reason)
    else connections.get(message.deviceId)?.link.send(message.frame)
  }

  readonly #failed = (error: unknown): void =>
    this.#resources.log.warn({ err: error }, 'this replica could not say that it lives; it tries again')
}
