import type { DeviceSnapshot } from '@skerry/scheduler'
import type { Session, Slot } from '../devices/fleet.ts'
import { Indices } from './indices.ts'
import { snapshotOf } from './snapshots.ts'

/** How a device came: its number; whether it was here already as the same kind, and whether it ever was of this kind. */
export type Arrival = { index: number; kind: string; isUpdate: boolean; isKnown: boolean }

/**
 * Devices by the numbers that the deciding core knows them by. Numbers are kept for devices that are away: what was learnt
 * of them stays, and jobs may name them.
 */
export class KnownDevices {
  readonly #indices = new Indices()
  readonly #sessions: (Session | undefined)[] = []
  /** As each device last came, also of those that are away. */
  readonly #kinds: (string | undefined)[] = []
  readonly #snapshots: (Record<Slot, DeviceSnapshot | null> | undefined)[] = []

  /** The device's number, a new one if it never had any. */
  of(deviceId: string): number {
    return this.#indices.of(deviceId)
  }

  /** Undefined for one that was never here. */
  find(deviceId: string): number | undefined {
    return this.#indices.find(deviceId)
  }

  /** Undefined for one that is away. */
  session(index: number): Session | undefined {
    return this.#sessions[index]
  }

  /** It came, or what filters read of it changed. */
  arrive(session: Session): Arrival {
    const kind = kindOf(session)
    const index = this.of(session.deviceId)
    const isKnown = this.#kinds[index] === kind
    const isUpdate = isKnown && this.#sessions[index] !== undefined
    this.#sessions[index] = session
    this.#snapshots[index] = { infer: null, convert: null }
    this.#kinds[index] = kind
    return { index, kind, isUpdate, isKnown }
  }

  leave(index: number): void {
    this.#sessions[index] = undefined
    this.#snapshots[index] = undefined
  }

  /** What filters read of it, made when it is first asked for; null for one that is away. */
  snapshot(index: number, slot: Slot): DeviceSnapshot | null {
    const session = this.#sessions[index]
    const kept = this.#snapshots[index]
    if (session === undefined || kept === undefined) return null
    kept[slot] ??= snapshotOf(session, slot)
    return kept[slot]
  }
}

/** Equal for devices that are alike: hardware and runtimes. */
function kindOf({ facts: { arch, cpuModel, cores, runtimes } }: Session): string {
  return `${arch}\n${cpuModel}\n${cores}\n${runtimes.map(({ name, version }) => `${name} ${version}`).join(', ')}`
}
