import { grown } from '../core/grow.ts'

export type ColdStart = { transferMs: number; loadMs: number; firstRunMs: number }

/** Share of a part's new measurement that its fleet's mean takes up. */
const FLEET_RATE = 0.05
/** Measurements after which a device's own mean counts as much as the fleet's, and the memory of its own. */
const FLEET_WEIGHT = 1
const OWN_MEMORY = 8
/** Before anything was measured: 2 MB/s, 50 ms and 20 ms/MB to load, a first run of three times the usual. */
const START = { bytesPerMs: 2_000, loadMsPerByte: 20e-6, loadMs: 50, firstRunRatio: 3 }

/**
 * The parts of a cold start by device, each learnt from its own measurements, because each has its own cause: the
 * network, the disk and the runtime, the model. A device that was not measured yet is as the others are.
 */
export class ColdStartModel {
  readonly #transfer = new Part(-Math.log(START.bytesPerMs))
  readonly #load = new Part(0)
  readonly #firstRun = new Part(Math.log(START.firstRunRatio))

  observeTransfer(device: number, bytes: number, ms: number): void {
    if (bytes > 0 && ms > 0) this.#transfer.observe(device, Math.log(ms / bytes))
  }

  observeLoad(device: number, bytes: number, ms: number): void {
    if (ms > 0) this.#load.observe(device, Math.log(ms / usualLoadMs(bytes)))
  }

  /** `ms` is all that the first run took, `usualMs` what a run takes otherwise. */
  observeFirstRun(device: number, ms: number, usualMs: number): void {
    if (ms > 0 && usualMs > 0) this.#firstRun.observe(device, Math.log(ms / usualMs))
  }

  /** `firstRunMs` is what the first run takes beyond a usual one. */
  predict(device: number, bytes: number, usualMs: number): ColdStart {
    return {
      transferMs: bytes * Math.exp(this.#transfer.of(device)),
      loadMs: usualLoadMs(bytes) * Math.exp(this.#load.of(device)),
      firstRunMs: Math.max(0, Math.exp(this.#firstRun.of(device)) - 1) * usualMs
    }
  }

  /** The number is free for another device. */
  forgetDevice(device: number): void {
    for (const part of [this.#transfer, this.#load, this.#firstRun]) part.forget(device)
  }
}

/** A logarithm by device, drawn towards the fleet's mean while the device was seldom measured. */
class Part {
  #fleet: number
  #isMeasured = false
  #mean = new Float32Array(0)
  #count = new Uint8Array(0)

  constructor(start: number) {
    this.#fleet = start
  }

  observe(device: number, log: number): void {
    this.#mean = grown(this.#mean, device + 1)
    this.#count = grown(this.#count, device + 1)
    // The first measurement of all says more than a guess.
    this.#fleet += (this.#isMeasured ? FLEET_RATE : 1) * (log - this.#fleet)
    this.#isMeasured = true
    const count = Math.min((this.#count[device] as number) + 1, OWN_MEMORY)
    this.#count[device] = count
    this.#mean[device] = (this.#mean[device] as number) + (log - (this.#mean[device] as number)) / count
  }

  of(device: number): number {
    const count = this.#count[device] ?? 0
    return (count * (this.#mean[device] ?? 0) + FLEET_WEIGHT * this.#fleet) / (count + FLEET_WEIGHT)
  }

  forget(device: number): void {
    if (device >= this.#count.length) return
    this.#count[device] = 0
    this.#mean[device] = 0
  }
}

const usualLoadMs = (bytes: number): number => START.loadMs + START.loadMsPerByte * bytes
