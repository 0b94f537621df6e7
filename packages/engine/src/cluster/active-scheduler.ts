import { isDeepStrictEqual } from 'node:util'
import type { Fence } from '@skerry/registry'
import type { DeploymentReconciler } from '../deployments/reconciler.ts'
import type { Fleet, Session } from '../devices/fleet.ts'
import type { Dispatcher } from '../jobs/dispatcher.ts'
import { deploymentPool } from '../jobs/pools.ts'
import type { Sweeper } from '../jobs/sweeper.ts'
import type { EngineResources } from '../resources.ts'
import type { Seeds } from '../scheduling/seeds.ts'
import { takeFirst } from '../take-first.ts'
import { type Forward, HolderLink } from './holder-link.ts'
import type { ConnectionState, ToScheduler } from './messages.ts'

/** One that was heard of a few seconds ago and does not answer is dead or paused; its devices come by themselves. */
const ANNOUNCED_WITHIN_MS = 1_000

const READ_AT_ONCE = 500

export type Questions = Record<string, (payload: unknown) => Promise<unknown>>

export type SchedulerParts = {
  fleet: Fleet
  dispatcher: Dispatcher
  reconciler: DeploymentReconciler
  sweeper: Sweeper
  seeds: Seeds
  /** The way to the replica of that id. */
  forwardTo: (replica: string) => Forward
  /** What other replicas may ask, by name. */
  questions: Questions
}

/**
 * Scheduling for one term of the lease: the fleet with its credits, rebuilt from what the replicas announce, and all that
 * only one replica may do. It begins with nothing in memory, and is thrown away with its term.
 */
export class ActiveScheduler {
  readonly fence: Fence
  readonly fleet: Fleet
  readonly #resources: EngineResources
  readonly #parts: SchedulerParts
  readonly #links = new Map<string, HolderLink>()
  readonly #announcing = new Map<string, ConnectionState[]>()
  readonly #awaited = new Set<string>()
  #onAwaited: (() => void) | null = null
  readonly #unread = new Map<string, true>()
  #reading: Promise<void> | null = null
  #starting: Promise<void> | null = null
  #stopped = false

  constructor(resources: EngineResources, fence: Fence, parts: SchedulerParts) {
    this.#resources = resources
    this.fence = fence
    this.fleet = parts.fleet
    this.#parts = parts
  }

  /**
   * Sees who is there, puts right what an earlier scheduler left half-way, then dispatches. `unheard`: nobody held the leases
   * of what runs, so devices get the time to come back with it.
   */
  start(others: string[], unheard: boolean): Promise<void> {
    this.#starting = this.#start(others, unheard)
    return this.#starting
  }

  async #start(others: string[], unheard: boolean): Promise<void> {
    const { dispatcher, reconciler, sweeper, fleet } = this.#parts
    await this.#announced(others)
    if (this.#stopped) return
    await this.#reading
    await reconciler.verify([...fleet.all()].map((session) => session.deviceId))
    await sweeper.start(unheard, (replicas) => this.#replicasGone(replicas))
    if (this.#stopped) return
    await dispatcher.start(this.fence)
    reconciler.scheduleAll()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#onAwaited?.()
    // Whatever failed there was told where it was awaited.
    await this.#starting?.catch(() => undefined)
    await this.#parts.sweeper.stop()
    await this.#parts.dispatcher.stop()
    await this.#parts.reconciler.stop()
    await this.#reading
  }

  async answer(name: string, payload: unknown): Promise<unknown> {
    if (name === 'device-changed') {
      this.#read([String(payload)])
      await this.#reading
      return null
    }
    const find = this.#parts.questions[name]
    if (find === undefined) throw new Error(`the scheduler answers no question ${name}`)
    return find(payload)
  }

  /** `from` is the replica that says it. What is of no current session changes nothing. */
  receive(from: string, message: ToScheduler): void {
    const { fleet, reconciler } = this.#parts
    switch (message.type) {
      case 'connected':
        this.#connect(from, message.connection, Number.POSITIVE_INFINITY)
        reconciler.connected(message.connection.deviceId, message.changed !== false)
        return
      case 'disconnected':
        this.#disconnect(message.deviceId, message.session)
        return
      case 'released':
        this.#onReleased(message)
        return
      case 'health':
        if (fleet.current(message.deviceId, message.session) !== undefined)
          fleet.noteHealth(message.deviceId, message.health)
        return
      case 'facts':
        if (fleet.current(message.deviceId, message.session) === undefined) return
        fleet.change(message.deviceId, { slots: message.slots, facts: message.facts })
        reconciler.scheduleDevices([message.deviceId], message.changed !== false)
        return
      case 'measured': {
        const session = fleet.current(message.deviceId, message.session)
        if (session !== undefined) this.#parts.seeds.measured(session, message)
        return
      }
      case 'placement':
        this.#onPlacement(message)
        return
      case 'announcement':
        if (message.term === this.fence.term) this.#onAnnouncement(from, message)
        return
      default:
        this.#onRequest(message)
    }
  }

  #onRequest(message: ToScheduler): void {
    const { fleet, dispatcher, reconciler, sweeper } = this.#parts
    switch (message.type) {
      case 'wake':
        for (const pool of message.pools) dispatcher.wake(pool)
        return
      case 'reconcile':
        if (message.deployment === null) reconciler.scheduleAll()
        else reconciler.schedule(message.deployment)
        return
      case 'reconcile-devices':
        reconciler.scheduleDevices(message.devices, true)
        return
      case 'deployment-deleted':
        dispatcher.forgetPool(deploymentPool(message.deployment))
        dispatcher.forgetDeployment(message.deployment)
        for (const device of message.devices) fleet.setReady(device, message.deployment, null)
        void reconciler.sendDesired(message.devices).catch(this.#failed)
        return
      case 'ended-early':
        sweeper.endedEarly(message.jobs)
        return
      case 'call-ended':
        dispatcher.endCall(message)
        return
      case 'verify':
        void reconciler.verify([...fleet.all()].map((session) => session.deviceId)).catch(this.#failed)
        return
    }
  }

  #connect(from: string, connection: ConnectionState, heard: number): void {
    const { fleet, forwardTo } = this.#parts
    const { deviceId, session, ...rest } = connection
    const before = fleet.get(deviceId)
    if (before !== undefined && before.session > session) return
    const running = new Map(connection.running)
    let link = this.#links.get(deviceId)
    if (before?.session === session && link !== undefined) {
      for (const [key, slot] of before.running)
        if (!running.has(key) && link.mayBeUnderWay(key, heard)) running.set(key, slot)
      link.confirm(
        connection.running.map(([key]) => key),
        heard
      )
    } else link = this.#linkTo(connection, forwardTo(from))
    const entry: Session = {
      deviceId,
      session,
      ...rest,
      replicaId: from,
      link,
      running,
      ready: new Map(connection.ready)
    }
    fleet.connect(entry)
    this.#links.set(deviceId, link)
    this.#read([deviceId])
    for (const [deployment, served] of connection.ready)
      void this.#parts.seeds.ready(deviceId, deployment, served).catch(this.#failed)
  }

  #linkTo({ deviceId, session, running }: ConnectionState, forward: Forward): HolderLink {
    const of = { term: this.fence.term, deviceId, session, running: running.map(([key]) => key) }
    return new HolderLink(of, forward, this.#resources.nowMs)
  }

  #disconnect(deviceId: string, session: number): void {
    const before = this.#parts.fleet.current(deviceId, session)
    if (before === undefined) return
    this.#links.delete(deviceId)
    this.#parts.fleet.disconnect(deviceId, session)
  }

  #onReleased({ session, release }: Extract<ToScheduler, { type: 'released' }>): void {
    const { fleet, dispatcher } = this.#parts
    if (fleet.current(release.deviceId, session) === undefined) return
    this.#links.get(release.deviceId)?.released(release.key)
    fleet.released(release)
    dispatcher.pump()
  }

  #onPlacement(message: Extract<ToScheduler, { type: 'placement' }>): void {
    const { fleet, dispatcher, reconciler } = this.#parts
    const { deviceId, session, deployment, served } = message
    if (fleet.current(deviceId, session) === undefined) return
    fleet.setReady(deviceId, deployment, served)
    if (served !== null) {
      void this.#parts.seeds.ready(deviceId, deployment, served).catch(this.#failed)
      dispatcher.know([deploymentPool(deployment)])
    }
    reconciler.reported(deployment)
  }

  #onAnnouncement(from: string, message: Extract<ToScheduler, { type: 'announcement' }>): void {
    const { fleet, dispatcher, reconciler } = this.#parts
    const all = this.#announcing.get(from) ?? []
    all.push(...message.connections)
    this.#announcing.set(from, all)
    if (!message.last) return
    this.#announcing.delete(from)
    const named = new Set(all.map((connection) => connection.deviceId))
    for (const { deviceId, session, replicaId } of [...fleet.all()])
      if (replicaId === from && !named.has(deviceId)) this.#disconnect(deviceId, session)
    for (const connection of all) this.#connect(from, connection, message.heard)
    if (this.#awaited.delete(from)) {
      if (this.#awaited.size === 0) this.#onAwaited?.()
      return
    }
    void reconciler.verify([...named]).catch(this.#failed)
    dispatcher.pollAll()
  }

  #announced(others: string[]): Promise<void> {
    for (const replica of others) this.#awaited.add(replica)
    if (this.#awaited.size === 0) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer)
        this.#awaited.clear()
        this.#onAwaited = null
        resolve()
      }
      const timer = setTimeout(done, ANNOUNCED_WITHIN_MS)
      this.#onAwaited = done
    })
  }

  /** Their devices are away until they come elsewhere, or the replica is heard of after all. */
  #replicasGone(replicas: readonly string[]): void {
    for (const { deviceId, session, replicaId } of [...this.#parts.fleet.all()])
      if (replicas.includes(replicaId)) this.#disconnect(deviceId, session)
    this.#resources.log.warn({ replicas }, 'replicas were not heard of; their devices are taken for away')
  }

  /** What operators decided of devices stands in Postgres; what replicas say of it may be older. */
  #read(deviceIds: string[]): void {
    for (const id of deviceIds) this.#unread.set(id, true)
    this.#reading ??= this.#drain()
      .catch(this.#failed)
      .finally(() => {
        this.#reading = null
      })
  }

  async #drain(): Promise<void> {
    const { fleet } = this.#parts
    while (this.#unread.size > 0 && !this.#stopped) {
      const ids = [...takeFirst(this.#unread, READ_AT_ONCE).keys()]
      for (const { id, state, labels, taints } of await this.#resources.registry.devices.records(ids)) {
        if (state === 'revoked') this.#revoked(id)
        const session = fleet.get(id)
        if (session === undefined) continue
        // It is connected, whatever its replica has yet written of that.
        const now = { state: state === 'offline' ? 'online' : state, labels, taints } as const
        if (!isDeepStrictEqual(now, { state: session.state, labels: session.labels, taints: session.taints }))
          fleet.change(id, now)
      }
    }
  }

  #revoked(deviceId: string): void {
    const link = this.#parts.fleet.get(deviceId)?.link
    link?.send({ type: 'refused', code: 'device-revoked', detail: 'An operator revoked this device' })
    link?.close('revoked')
  }

  readonly #failed = (error: unknown): void =>
    this.#resources.log.error({ err: error }, 'a message to the scheduler could not be followed')
}
