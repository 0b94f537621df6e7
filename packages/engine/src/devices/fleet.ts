import type { Capability, ControlFrame, DeviceFacts, DeviceHealth, DeviceState, Labels, Slots } from '@skerry/contracts'
import type { ServedArtifact } from '@skerry/scheduler'
import type { CallRoute } from '../synchronous/call.ts'

/** Inference and benchmarks share the slots of the one; conversions have their own. */
export type Slot = keyof Slots

/** When the job was claimed, for its timings; and where its result is awaited, when it has no row. */
export type Assignment = { claimedAtMs: number; call?: CallRoute }

/** One connection to a device's agent; the control plane's WebSocket behind it. */
export interface DeviceLink {
  /** `assignment` goes with an `assign`. */
  send(frame: ControlFrame, body?: readonly Uint8Array[], assignment?: Assignment): void
  close(reason: string): void
}

export type Session = {
  deviceId: string
  name: string
  session: number
  /** Which replica holds its socket. */
  replicaId: string
  link: DeviceLink
  /** Anything but `online` gets no new work. */
  state: DeviceState
  labels: Labels
  taints: readonly string[]
  capabilities: readonly Capability[]
  facts: DeviceFacts
  slots: Slots
  /** What its last heartbeat said, where one came in this session. */
  health: DeviceHealth | null
  /** What occupies a slot there, by job and epoch, until its result came; also jobs that were cancelled meanwhile. */
  running: Map<string, Slot>
  ready: Map<string, ServedArtifact>
}

/** A device is done with a job, so its slot is free: with what became of the attempt, and what it took there. */
export type Release = {
  deviceId: string
  /** As `jobKey` makes it. */
  key: string
  /** `returned`: back in the queue under the next epoch, or failed as often as it may; `void`: nobody asks for it any more. */
  outcome: 'succeeded' | 'failed' | 'returned' | 'void'
  /** From the frame that gave it to its result, where both passed here. */
  roundTripMs?: number
}

/** Told of what changes among the connected devices, after it did and in the same turn. */
export type FleetListener = {
  /** Also when a device that is connected opens its next session, or its replica says again what it knows of it. */
  onConnected?(session: Session): void
  onDisconnected?(deviceId: string): void
  /** A slot was taken, or became free. */
  onCredits?(deviceId: string): void
  /** What decides whether it may do work: state, labels, taints, slots, health, what it serves. */
  onChanged?(deviceId: string): void
  /** A heartbeat that changes nothing of that. */
  onHealth?(session: Session): void
  /** A result came. `onCredits` follows. */
  onReleased?(release: Release): void
}

type Change = Partial<Pick<Session, 'state' | 'labels' | 'taints' | 'slots' | 'facts'>>

export const jobKey = (id: string, epoch: number): string => `${id}-${epoch}`

/** The devices that are connected now, to whichever replica, and their free slots: the scheduler's credits. */
export class Fleet {
  readonly #sessions = new Map<string, Session>()
  readonly #listeners: FleetListener[] = []

  listen(listener: FleetListener): void {
    this.#listeners.push(listener)
  }

  get size(): number {
    return this.#sessions.size
  }

  get(deviceId: string): Session | undefined {
    return this.#sessions.get(deviceId)
  }

  /** Only while this is the device's current session. */
  current(deviceId: string, session: number): Session | undefined {
    const found = this.#sessions.get(deviceId)
    return found?.session === session ? found : undefined
  }

  all(): Iterable<Session> {
    return this.#sessions.values()
  }

  /** Takes over the device; an older connection is closed, its frames are void. */
  connect(session: Session): void {
    const before = this.#sessions.get(session.deviceId)
    if (before !== undefined && before.link !== session.link)
      before.link.close('a newer connection of this device took over')
    this.#sessions.set(session.deviceId, session)
    for (const listener of this.#listeners) listener.onConnected?.(session)
  }

  disconnect(deviceId: string, session: number): boolean {
    if (this.current(deviceId, session) === undefined) return false
    this.#sessions.delete(deviceId)
    for (const listener of this.#listeners) listener.onDisconnected?.(deviceId)
    return true
  }

  hold(deviceId: string, key: string, slot: Slot): void {
    const session = this.#sessions.get(deviceId)
    if (session === undefined) return
    session.running.set(key, slot)
    this.#credits(deviceId)
  }

  /** Gives a slot back that was held for nothing: the job was not claimed. */
  release(deviceId: string, key: string): void {
    if (this.#sessions.get(deviceId)?.running.delete(key) === true) this.#credits(deviceId)
  }

  /** A device is done with a job. */
  released(release: Release): void {
    const session = this.#sessions.get(release.deviceId)
    if (session?.running.delete(release.key) !== true) return
    for (const listener of this.#listeners) listener.onReleased?.(release)
    this.#credits(release.deviceId)
  }

  change(deviceId: string, change: Change): void {
    const session = this.#sessions.get(deviceId)
    if (session === undefined) return
    Object.assign(session, change)
    this.#changed(deviceId)
  }

  /** What a deployment has ready there; null: nothing any more. */
  setReady(deviceId: string, deployment: string, served: ServedArtifact | null): void {
    const session = this.#sessions.get(deviceId)
    if (session === undefined) return
    if (served !== null) session.ready.set(deployment, served)
    else if (!session.ready.delete(deployment)) return
    this.#changed(deviceId)
  }

  noteHealth(deviceId: string, health: DeviceHealth): void {
    const session = this.#sessions.get(deviceId)
    if (session === undefined) return
    const before = session.health
    session.health = health
    // Most heartbeats change nothing that a filter reads.
    if (before?.refusing !== health.refusing || isHot(before) !== isHot(health)) this.#changed(deviceId)
    else for (const listener of this.#listeners) listener.onHealth?.(session)
  }

  #credits(deviceId: string): void {
    for (const listener of this.#listeners) listener.onCredits?.(deviceId)
  }

  #changed(deviceId: string): void {
    for (const listener of this.#listeners) listener.onChanged?.(deviceId)
  }
}

export function freeSlots(session: Session): Slots {
  let infer = session.slots.infer
  let convert = session.slots.convert
  for (const slot of session.running.values()) slot === 'infer' ? infer-- : convert--
  return { infer: Math.max(0, infer), convert: Math.max(0, convert) }
}

/** Beyond this a device gets no work. */
export const MAX_TEMPERATURE_C = 95
const isHot = (health: DeviceHealth | null): boolean => (health?.temperatureC ?? 0) > MAX_TEMPERATURE_C
