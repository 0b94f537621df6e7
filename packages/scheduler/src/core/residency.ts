import { clearBit, setBit, withRoomFor } from './bitmap.ts'
import type { DeviceTable } from './device-table.ts'

/** What an artifact's transfer, load and first run would add to a run on a device where it is not loaded. */
export type ColdStartMs = (device: number, artifact: number) => number

const NONE = new Uint32Array(0)
const NOWHERE: ReadonlySet<number> = new Set()

/**
 * Where which artifacts are loaded, as devices say; without a source of cold starts they are loaded wherever they may run.
 * By artifact and kind as a bitmap over the kind's places, so that a free device with it is found among thousands.
 */
export class Residency {
  readonly #devices: DeviceTable
  readonly #coldMs: ColdStartMs | undefined
  readonly #places: Uint32Array[][] = []
  readonly #loadedOn: Set<number>[] = []
  readonly #loadedBy = new Map<number, Set<number>>()

  constructor(devices: DeviceTable, coldMs?: ColdStartMs) {
    this.#devices = devices
    this.#coldMs = coldMs
  }

  /** Whether it matters where artifacts are loaded. */
  get matters(): boolean {
    return this.#coldMs !== undefined
  }

  /** Zero where it is loaded. */
  coldMs(device: number, artifact: number): number {
    return this.#coldMs === undefined || this.isLoaded(device, artifact) ? 0 : this.#coldMs(device, artifact)
  }

  isLoaded(device: number, artifact: number): boolean {
    return this.#coldMs === undefined || this.#loadedOn[artifact]?.has(device) === true
  }

  /** Over the places of a kind; only where it matters. */
  places(artifact: number, kind: number): Uint32Array {
    return this.#places[artifact]?.[kind] ?? NONE
  }

  devicesWith(artifact: number): ReadonlySet<number> {
    return this.#loadedOn[artifact] ?? NOWHERE
  }

  loadedBy(device: number): ReadonlySet<number> {
    return this.#loadedBy.get(device) ?? NOWHERE
  }

  add(device: number, artifact: number): void {
    if (this.#coldMs === undefined || this.isLoaded(device, artifact)) return
    while (this.#loadedOn.length <= artifact) {
      this.#loadedOn.push(new Set())
      this.#places.push([])
    }
    this.#loadedOn[artifact]?.add(device)
    const own = this.#loadedBy.get(device)
    if (own === undefined) this.#loadedBy.set(device, new Set([artifact]))
    else own.add(artifact)
    const kind = this.#devices.kindOf(device)
    const kinds = this.#places[artifact] as Uint32Array[]
    while (kinds.length <= kind) kinds.push(NONE)
    const place = this.#devices.placeOf(device)
    const bits = withRoomFor(kinds[kind] as Uint32Array, place)
    setBit(bits, place)
    kinds[kind] = bits
  }

  remove(device: number, artifact: number): void {
    if (this.#loadedOn[artifact]?.delete(device) !== true) return
    this.#loadedBy.get(device)?.delete(artifact)
    clearBit(this.places(artifact, this.#devices.kindOf(device)), this.#devices.placeOf(device))
  }

  /** These are all that is loaded there now. Answers those that were not before, and those that no longer are. */
  set(device: number, artifacts: Iterable<number>): { come: number[]; gone: number[] } {
    const now = new Set(artifacts)
    const gone = [...this.loadedBy(device)].filter((artifact) => !now.has(artifact))
    for (const artifact of gone) this.remove(device, artifact)
    const come = [...now].filter((artifact) => !this.isLoaded(device, artifact))
    for (const artifact of come) this.add(device, artifact)
    return { come, gone }
  }

  /** Before the device's place is given to another. */
  dropDevice(device: number): void {
    this.set(device, [])
    this.#loadedBy.delete(device)
  }

  forgetArtifact(artifact: number): void {
    for (const device of [...this.devicesWith(artifact)]) this.remove(device, artifact)
  }

  /** The first free device of the kind from `from` on that may do it and has it loaded, by place; -1 without one. */
  firstLoaded(free: Uint32Array, eligible: Uint32Array, artifact: number, kind: number, from = 0): number {
    const loaded = this.places(artifact, kind)
    const end = 32 * Math.min(free.length, eligible.length, loaded.length)
    for (let place = from; place < end; ) {
      const word = place >> 5
      const all = (free[word] as number) & (eligible[word] as number) & (loaded[word] as number)
      const bits = (all & (-1 << (place & 31))) >>> 0
      if (bits !== 0) return (word << 5) + 31 - Math.clz32(bits & -bits)
      place = (word + 1) << 5
    }
    return -1
  }
}
