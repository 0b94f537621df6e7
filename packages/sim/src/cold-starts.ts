import { type ColdStart, ColdStartModel } from '@skerry/scheduler'
import { normal, seededRandom } from './random.ts'
import type { Workload } from './workload.ts'

export type ColdOptions = {
  /**
   * Models that a device holds in memory, the least recently used goes first; at the start so many of those that it runs,
   * in turn over the fleet. Zero: all of them, always.
   */
  memoryModels: number
  /** Share of (device, model) pairs whose artifact is not on the device's disk before its first use. */
  absent: number
}

// No table says these, so they are drawn from the seed about what small devices and their networks do.
const ARTIFACT_BYTES = 8e6
const ARTIFACT_LOG_SD = 1
const TRANSFER_BYTES_PER_MS = 4e3
const TRANSFER_LOG_SD = 0.5
const LOAD_BYTES_PER_MS = 2e5
/** The first run's allocations and caches, as a share of a usual run. */
const FIRST_RUN_EXTRA = 1

const NOTHING: ReadonlySet<number> = new Set()

/** What a run costs beside itself where the artifact is not there or not loaded: transfer, load, first run. */
export class ColdStarts {
  readonly #workload: Workload
  readonly #options: ColdOptions
  readonly #bytes: Float64Array
  readonly #bytesPerMs: Float64Array
  readonly #absent: (device: number, model: number) => boolean
  readonly #fetched = new Set<number>()
  /** By device: the models in memory, the least recently used first. */
  readonly #loaded = new Map<number, Set<number>>()
  readonly #learnt = new ColdStartModel()

  constructor(workload: Workload, seed: number, options: ColdOptions) {
    this.#workload = workload
    this.#options = options
    const random = seededRandom(seed ^ 0x0c01d)
    this.#bytes = Float64Array.from(workload.table.models, () =>
      Math.exp(Math.log(ARTIFACT_BYTES) + ARTIFACT_LOG_SD * normal(random))
    )
    this.#bytesPerMs = Float64Array.from(workload.kindOf, () =>
      Math.exp(Math.log(TRANSFER_BYTES_PER_MS) + TRANSFER_LOG_SD * normal(random))
    )
    this.#absent = (device, model) => {
      if (options.absent === 0) return false
      const draw = seededRandom(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(device + 1, 0x85ebca6b) ^ model)
      draw()
      return draw() < options.absent
    }
    this.#deploy()
  }

  /** As deployments would have it: every model on equally many devices, as far as these run it and have room. */
  #deploy(): void {
    const { table, kindOf } = this.#workload
    const models = table.models.length
    let next = 0
    for (let round = 0; round < this.#options.memoryModels; round++)
      kindOf.forEach((kind, device) => {
        for (let tried = 0; tried < models; tried++) {
          const model = (next + tried) % models
          const runs = (table.ms[model * table.devices.length + kind] as number) > 0
          if (!runs || this.isLoaded(device, model)) continue
          this.use(device, model)
          next = model + 1
          break
        }
      })
  }

  /** What a run there costs beside itself, before noise; null when it is loaded, and always where cold starts are off. */
  costOf(device: number, model: number): ColdStart | null {
    if (this.isLoaded(device, model)) return null
    const { table, kindOf } = this.#workload
    const bytes = this.#bytes[model] as number
    const runMs = table.ms[model * table.devices.length + (kindOf[device] as number)] as number
    return {
      transferMs: this.#isThere(device, model) ? 0 : bytes / (this.#bytesPerMs[device] as number),
      loadMs: bytes / LOAD_BYTES_PER_MS,
      firstRunMs: FIRST_RUN_EXTRA * runMs
    }
  }

  /** The same as far as it can be known: what is where, as devices say, and the parts by what they took so far. */
  predictedMs(device: number, model: number, usualMs: number): number {
    if (this.isLoaded(device, model)) return 0
    const { transferMs, loadMs, firstRunMs } = this.#learnt.predict(device, this.#bytes[model] as number, usualMs)
    return (this.#isThere(device, model) ? 0 : transferMs) + loadMs + firstRunMs
  }

  /** A device has reported the parts, each as long as it took. */
  report(device: number, model: number, took: ColdStart, runMs: number): void {
    const bytes = this.#bytes[model] as number
    this.#learnt.observeTransfer(device, bytes, took.transferMs)
    this.#learnt.observeLoad(device, bytes, took.loadMs)
    this.#learnt.observeFirstRun(device, runMs + took.firstRunMs, runMs)
  }

  isLoaded(device: number, model: number): boolean {
    return this.#options.memoryModels === 0 || this.#loaded.get(device)?.has(model) === true
  }

  /** The models in memory, the least recently used first. */
  loaded(device: number): ReadonlySet<number> {
    return this.#loaded.get(device) ?? NOTHING
  }

  /** It runs there now: its artifact stays on the disk, and in memory until others drive it out. */
  use(device: number, model: number): void {
    const { memoryModels } = this.#options
    if (memoryModels === 0) return
    if (this.#options.absent > 0) this.#fetched.add(this.#pair(device, model))
    const loaded = this.#loaded.get(device) ?? new Set()
    this.#loaded.set(device, loaded)
    loaded.delete(model)
    loaded.add(model)
    for (const oldest of loaded) {
      if (loaded.size <= memoryModels) break
      loaded.delete(oldest)
    }
  }

  /** Its memory is empty when it comes back; its disk is not. */
  restart(device: number): void {
    this.#loaded.delete(device)
  }

  #isThere(device: number, model: number): boolean {
    return !this.#absent(device, model) || this.#fetched.has(this.#pair(device, model))
  }

  #pair(device: number, model: number): number {
    return device * this.#workload.table.models.length + model
  }
}
