import type { PlacedJob } from './work.ts'

/** `value`: of the label that the job is spread over, as its device carried it then. */
export type PlacedRun = { job: PlacedJob; value: string | undefined }

/** What was placed and has not ended, by device and job. */
export class PlacedRuns {
  readonly #byDevice = new Map<string, Map<string, PlacedRun>>()
  readonly #keys = new Set<string>()

  add(deviceId: string, key: string, run: PlacedRun): void {
    const runs = this.#byDevice.get(deviceId) ?? new Map<string, PlacedRun>()
    this.#byDevice.set(deviceId, runs.set(key, run))
    this.#keys.add(key)
  }

  /** Undefined when it was not there. */
  take(deviceId: string, key: string): PlacedRun | undefined {
    const runs = this.#byDevice.get(deviceId)
    const run = runs?.get(key)
    if (runs?.delete(key) === true) this.#keys.delete(key)
    if (runs?.size === 0) this.#byDevice.delete(deviceId)
    return run
  }

  /** On whichever device. */
  has(key: string): boolean {
    return this.#keys.has(key)
  }

  keysOn(deviceId: string): string[] {
    return [...(this.#byDevice.get(deviceId)?.keys() ?? [])]
  }
}
