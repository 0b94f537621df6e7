import type { ControlFrame, DeviceHealth, Labels, Slots } from '@skerry/contracts'
import type { SchedulableDevice, ServedArtifact } from '@skerry/scheduler'

/** One connection to a device's agent; the control plane's WebSocket behind it. */
export interface DeviceLink {
  send(frame: ControlFrame, body?: readonly Uint8Array[]): void
  close(reason: string): void
}

export type Session = {
  deviceId: string
  name: string
  session: number
  link: DeviceLink
  labels: Labels
  slots: Slots
  accepts: boolean
  /** Its agent said that it takes no work now: short of memory, hot, or low on battery. */
  refusing: boolean
  /** What occupies a slot there, by job and epoch, until its result came; also jobs that were cancelled meanwhile. */
  running: Map<string, 'infer' | 'convert'>
  ready: Map<string, ServedArtifact>
  lastAssignedAtMs: number
  lastHeardAtMs: number
}

export const jobKey = (id: string, epoch: number): string => `${id}-${epoch}`

/** The devices that are connected here now, and their free slots: the scheduler's credits. */
export class Fleet {
  readonly #sessions = new Map<string, Session>()
  readonly #unwritten = new Map<string, { health: DeviceHealth; seenAt: Date }>()

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
    this.#sessions.get(session.deviceId)?.link.close('a newer connection of this device took over')
    this.#sessions.set(session.deviceId, session)
  }

  disconnect(deviceId: string, session: number): boolean {
    if (this.current(deviceId, session) === undefined) return false
    return this.#sessions.delete(deviceId)
  }

  hold(deviceId: string, key: string, slot: 'infer' | 'convert', nowMs: number): void {
    const session = this.#sessions.get(deviceId)
    if (session === undefined) return
    session.running.set(key, slot)
    session.lastAssignedAtMs = nowMs
  }

  release(deviceId: string, key: string): void {
    this.#sessions.get(deviceId)?.running.delete(key)
  }

  /** Answers whether the device takes work again that it refused before. */
  noteHealth(deviceId: string, health: DeviceHealth, nowMs: number): boolean {
    this.#unwritten.set(deviceId, { health, seenAt: new Date(nowMs) })
    const session = this.#sessions.get(deviceId)
    if (session === undefined) return false
    const refused = session.refusing
    session.refusing = health.refusing !== undefined
    return refused && !session.refusing
  }

  /** Heartbeats since the last call, for one write to Postgres. */
  takeHealth(): { id: string; health: DeviceHealth; seenAt: Date }[] {
    const batch = [...this.#unwritten].map(([id, entry]) => ({ id, ...entry }))
    this.#unwritten.clear()
    return batch
  }

  snapshot(): SchedulableDevice[] {
    return [...this.#sessions.values()].map((session) => ({
      id: session.deviceId,
      labels: session.labels,
      accepts: session.accepts && !session.refusing,
      free: freeSlots(session),
      ready: session.ready,
      lastAssignedAtMs: session.lastAssignedAtMs
    }))
  }
}

export function freeSlots(session: Session): Slots {
  let infer = session.slots.infer
  let convert = session.slots.convert
  for (const slot of session.running.values()) slot === 'infer' ? infer-- : convert--
  return { infer: Math.max(0, infer), convert: Math.max(0, convert) }
}
