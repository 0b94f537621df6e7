import type { Capability, ControlFrame, DeviceFacts, DeviceHealth, DeviceState, Labels, Slots } from '@skerry/contracts'
import type { RunningRef } from '@skerry/registry'
import type { ServedArtifact } from '@skerry/scheduler'
import type { ConnectionState } from '../cluster/messages.ts'
import { slotOf } from '../scheduling/work.ts'
import type { CallRoute } from '../synchronous/call.ts'
import { type DeviceLink, jobKey, type Slot } from './fleet.ts'

/** A job that reached the device, and when, where that was over this connection. */
export type Held = {
  jobId: string
  epoch: number
  slot: Slot
  sentAtMs?: number
  dispatchMs?: number
  /** Where its result is awaited, when it has no row. */
  call?: CallRoute
}

/** A device whose socket this replica holds. */
export type Connection = {
  deviceId: string
  name: string
  session: number
  link: DeviceLink
  state: DeviceState
  labels: Labels
  taints: readonly string[]
  capabilities: readonly Capability[]
  facts: DeviceFacts
  slots: Slots
  health: DeviceHealth | null
  running: Map<string, Held>
  ready: Map<string, ServedArtifact>
  lastHeardAtMs: number
}

/** A frame from whoever schedules to the current session of a device. */
export type Delivery = {
  term: number
  deviceId: string
  session: number
  frame: ControlFrame
  dispatchMs?: number
  call?: CallRoute
}

/** The sockets that this replica holds, and what it knows of the devices behind them. */
export class Connections {
  readonly #nowMs: () => number
  readonly #byDevice = new Map<string, Connection>()
  readonly #unwritten = new Map<string, { health: DeviceHealth; seenAt: Date }>()
  #term = 0

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  get size(): number {
    return this.#byDevice.size
  }

  get(deviceId: string): Connection | undefined {
    return this.#byDevice.get(deviceId)
  }

  current(deviceId: string, session: number): Connection | undefined {
    const found = this.#byDevice.get(deviceId)
    return found?.session === session ? found : undefined
  }

  all(): Iterable<Connection> {
    return this.#byDevice.values()
  }

  /** Takes over the device; an older connection is closed, its frames are void. */
  open(connection: Connection): void {
    this.#byDevice.get(connection.deviceId)?.link.close('a newer connection of this device took over')
    this.#byDevice.set(connection.deviceId, connection)
  }

  close(deviceId: string, session: number): boolean {
    return this.current(deviceId, session) !== undefined && this.#byDevice.delete(deviceId)
  }

  /** The device opened a newer session elsewhere. */
  supersede(deviceId: string, session: number): void {
    const found = this.#byDevice.get(deviceId)
    if (found !== undefined && found.session < session) found.link.close('a newer connection of this device took over')
  }

  noteHealth(connection: Connection, health: DeviceHealth): void {
    connection.health = health
    this.#unwritten.set(connection.deviceId, { health, seenAt: new Date(this.#nowMs()) })
  }

  /** Heartbeats since the last call, for one write to Postgres. */
  takeHealth(): { id: string; health: DeviceHealth; seenAt: Date }[] {
    const batch = [...this.#unwritten].map(([id, entry]) => ({ id, ...entry }))
    this.#unwritten.clear()
    return batch
  }

  /** From this term on, frames of earlier schedulers go nowhere. */
  setTerm(term: number): void {
    this.#term = Math.max(this.#term, term)
  }

  isCurrentTerm(term: number): boolean {
    return term >= this.#term
  }

  /** Passes the frame on. `absent`: what it cancels is not on the device, so its slot is free. */
  deliver(delivery: Delivery, body?: readonly Uint8Array[]): 'sent' | 'refused' | 'absent' {
    const { term, deviceId, session, frame, dispatchMs, call } = delivery
    const connection = this.current(deviceId, session)
    if (!this.isCurrentTerm(term) || connection === undefined) return 'refused'
    if (frame.type === 'cancel' && !connection.running.has(jobKey(frame.jobId, frame.epoch))) return 'absent'
    if (frame.type === 'assign') {
      const { jobId, epoch, work } = frame
      const held: Held = { jobId, epoch, slot: slotOf(work.kind), sentAtMs: this.#nowMs() }
      if (dispatchMs !== undefined) held.dispatchMs = dispatchMs
      if (call !== undefined) held.call = call
      connection.running.set(jobKey(jobId, epoch), held)
    }
    if (frame.type === 'desired')
      for (const [deployment, { artifact, runtime }] of connection.ready)
        if (
          !frame.artifacts.some((d) => d.deployment === deployment && d.artifact === artifact && d.runtime === runtime)
        )
          connection.ready.delete(deployment)
    connection.link.send(frame, body)
    return 'sent'
  }

  /** The jobs with rows that are known to be on devices which were heard since `sinceMs`. */
  running(sinceMs: number): RunningRef[] {
    const refs: RunningRef[] = []
    for (const { deviceId, session, lastHeardAtMs, running } of this.#byDevice.values())
      if (lastHeardAtMs >= sinceMs)
        for (const { jobId, epoch, call } of running.values())
          if (call === undefined) refs.push({ jobId, epoch, deviceId, session })
    return refs
  }
}

export function stateOf({ link: _, lastHeardAtMs: __, running, ready, ...rest }: Connection): ConnectionState {
  return { ...rest, running: [...running].map(([key, { slot }]) => [key, slot]), ready: [...ready] }
}
