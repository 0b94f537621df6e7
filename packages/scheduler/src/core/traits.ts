import { grown } from './grow.ts'

type KindRuns = { devices: number; runs: number }

/**
 * What devices are beside how fast: the power that they draw, and how often they were used. By the devices' numbers;
 * kept while a device is away.
 */
export class Traits {
  #watts = new Float32Array(0)
  #runs = new Float64Array(0)
  #kindOf = new Int32Array(0)
  /** Of the devices that are there. */
  readonly #ofKind: KindRuns[] = []

  add(device: number, kind: number): void {
    this.#reserve(device)
    this.#kindOf[device] = kind
    while (this.#ofKind.length <= kind) this.#ofKind.push({ devices: 0, runs: 0 })
    const own = this.#ofKind[kind] as KindRuns
    own.devices += 1
    own.runs += this.runs(device)
  }

  remove(device: number): void {
    const own = this.#ofKind[this.#kindOf[device] as number] as KindRuns
    own.devices -= 1
    own.runs -= this.runs(device)
  }

  /** Zero where the device does not tell. */
  watts(device: number): number {
    return this.#watts[device] ?? 0
  }

  runs(device: number): number {
    return this.#runs[device] ?? 0
  }

  /** On average, of the devices of the kind that are there. */
  kindRuns(kind: number): number {
    const { devices, runs } = this.#ofKind[kind] ?? { devices: 0, runs: 0 }
    return devices === 0 ? 0 : runs / devices
  }

  noteWatts(device: number, watts: number): void {
    this.#reserve(device)
    this.#watts[device] = watts
  }

  /** Of a device that is there. */
  noteRun(device: number): void {
    this.#runs[device] = this.runs(device) + 1
    const own = this.#ofKind[this.#kindOf[device] as number] as KindRuns
    own.runs += 1
  }

  #reserve(device: number): void {
    this.#watts = grown(this.#watts, device + 1)
    this.#runs = grown(this.#runs, device + 1)
    this.#kindOf = grown(this.#kindOf, device + 1)
  }
}
