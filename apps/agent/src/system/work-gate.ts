import { AgentError } from '../agent-error.ts'
import { type MachineSize, readMemory } from './resources.ts'
import { readBattery, readTemperatureC } from './sensors.ts'
import type { SystemFiles } from './system-files.ts'

export type WorkLimits = {
  /** Work is refused while less memory than this could be given to a program. */
  minFreeMemoryBytes: number
  /** Work is refused from here on, until the device has cooled by 5 degrees. */
  maxTemperatureC: number
  /** Work is refused below this while the battery discharges, until it holds 5 percent more or is charged. */
  minBatteryPercent: number
}

export type WorkGateDeps = {
  files: SystemFiles
  machine: MachineSize
  limits: WorkLimits
  now: () => number
  /** Called when work begins to be refused, and when it no longer is (null). */
  onChange: (reason: string | null) => void
}

/** A reading is good for so long: an inference of a millisecond does not pay for one of its own. */
const FRESH_MS = 2_000
/** Without a distance between both thresholds a device on the edge would refuse every other job. */
const HYSTERESIS_C = 5
const HYSTERESIS_PERCENT = 5

/** Whether the device may take work now, by memory, heat and battery, and if not, why. */
export class WorkGate {
  readonly #deps: WorkGateDeps
  #limits: WorkLimits
  #readAtMs = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | null = null
  #hot = false
  #low = false
  #reason: string | null = null

  constructor(deps: WorkGateDeps) {
    this.#deps = deps
    this.#limits = deps.limits
  }

  /** The next question is answered by these. */
  setLimits(limits: WorkLimits): void {
    this.#limits = limits
    this.#readAtMs = Number.NEGATIVE_INFINITY
  }

  /** Throws `device-limited`, retryable, with the reason. */
  async admit(): Promise<void> {
    const reason = await this.refusal()
    if (reason !== null) throw new AgentError('device-limited', reason, { retryable: true })
  }

  async refusal(): Promise<string | null> {
    if (this.#deps.now() - this.#readAtMs >= FRESH_MS) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = null
      })
      await this.#reading
    }
    return this.#reason
  }

  async #read(): Promise<void> {
    const { files, machine, now, onChange } = this.#deps
    const [memory, temperatureC, battery] = await Promise.all([
      readMemory(files, machine),
      readTemperatureC(files),
      readBattery(files)
    ])
    this.#readAtMs = now()
    const { maxTemperatureC, minBatteryPercent, minFreeMemoryBytes } = this.#limits
    this.#hot = temperatureC !== null && temperatureC >= maxTemperatureC - (this.#hot ? HYSTERESIS_C : 0)
    const leastPercent = minBatteryPercent + (this.#low ? HYSTERESIS_PERCENT : 0)
    this.#low = battery?.discharging === true && battery.percent < leastPercent
    const reasons = [
      ...(memory.availableBytes < minFreeMemoryBytes
        ? [`it has ${mib(memory.availableBytes)} MiB of memory left, and works from ${mib(minFreeMemoryBytes)} MiB on`]
        : []),
      ...(this.#hot ? [`it is ${temperatureC} °C hot, and works below ${maxTemperatureC} °C`] : []),
      ...(this.#low ? [`its battery is at ${battery?.percent} %, and it works from ${minBatteryPercent} % on`] : [])
    ]
    const before = this.#reason
    this.#reason = reasons.length === 0 ? null : `This device takes no work now: ${reasons.join('; ')}.`
    if ((before === null) !== (this.#reason === null)) onChange(this.#reason)
  }
}

const mib = (bytes: number): number => Math.floor(bytes / 1024 ** 2)
