import { join } from 'node:path'
import type { SystemFiles } from './system-files.ts'

export type Throttling = { throttled?: boolean; undervoltage?: boolean }
export type Battery = { percent: number; discharging: boolean }

const THERMAL = 'sys/class/thermal'
const HWMON = 'sys/class/hwmon'
const POWER = 'sys/class/power_supply'
/** Sensors that are not connected answer 0, -273 or a constant far above what a chip survives. */
const isCredible = (degrees: number): boolean => degrees > 0 && degrees < 150

/** The hottest of the thermal zones, or of the sensor chips where there are no zones. null where nothing is told. */
export async function readTemperatureC(files: SystemFiles): Promise<number | null> {
  const zones = (await files.list(THERMAL)).filter((zone) => zone.startsWith('thermal_zone'))
  const hottest = await hottestC(
    files,
    zones.map((zone) => join(THERMAL, zone, 'temp'))
  )
  if (hottest !== null) return hottest
  const paths: string[] = []
  for (const chip of await files.list(HWMON)) {
    for (const file of await files.list(join(HWMON, chip))) {
      if (/^temp\d+_input$/.test(file)) paths.push(join(HWMON, chip, file))
    }
  }
  return hottestC(files, paths)
}

async function hottestC(files: SystemFiles, paths: readonly string[]): Promise<number | null> {
  const readings = await Promise.all(paths.map((path) => files.number(path)))
  const degrees = readings.flatMap((milli) => (milli !== null && isCredible(milli / 1000) ? [milli / 1000] : []))
  return degrees.length === 0 ? null : Math.round(Math.max(...degrees) * 10) / 10
}

/** Bits of the Raspberry Pi's firmware: what holds now. Bits 16 and up say what has held since the start. */
const UNDERVOLTAGE = 0b0001
const FREQUENCY_CAPPED = 0b0010
const THROTTLED = 0b0100
const SOFT_LIMIT = 0b1000

/**
 * Whether the CPU runs slower than it could for heat or for want of voltage. From the Raspberry Pi's firmware, its
 * voltage sensor, the kernel's cooling devices, and Intel's counters, of which a growth since the last reading counts.
 */
export class ThrottlingReader {
  readonly #files: SystemFiles
  #lastCount: number | null = null

  constructor(files: SystemFiles) {
    this.#files = files
  }

  /** What no source tells is left out. */
  async read(): Promise<Throttling> {
    const signs: Throttling[] = [await this.#firmware(), await this.#cooling(), await this.#counters()]
    const undervoltage = [...signs.map((sign) => sign.undervoltage), await this.#voltageAlarm()]
    const throttled = signs.map((sign) => sign.throttled)
    const any = (values: readonly (boolean | undefined)[]): boolean | undefined =>
      values.every((value) => value === undefined) ? undefined : values.includes(true)
    const [slow, low] = [any(throttled), any(undervoltage)]
    return { ...(slow === undefined ? {} : { throttled: slow }), ...(low === undefined ? {} : { undervoltage: low }) }
  }

  async #firmware(): Promise<Throttling> {
    const text = await this.#files.text('sys/devices/platform/soc/soc:firmware/get_throttled')
    if (!/^(0x)?[0-9a-f]+$/i.test(text)) return {}
    const bits = Number.parseInt(text, 16)
    return {
      throttled: (bits & (FREQUENCY_CAPPED | THROTTLED | SOFT_LIMIT)) !== 0,
      undervoltage: (bits & UNDERVOLTAGE) !== 0
    }
  }

  async #voltageAlarm(): Promise<boolean | undefined> {
    for (const chip of await this.#files.list(HWMON)) {
      if ((await this.#files.text(join(HWMON, chip, 'name'))) !== 'rpi_volt') continue
      const alarm = await this.#files.number(join(HWMON, chip, 'in0_lcrit_alarm'))
      if (alarm !== null) return alarm !== 0
    }
    return undefined
  }

  async #cooling(): Promise<Throttling> {
    let throttled: boolean | undefined
    for (const device of await this.#files.list(THERMAL)) {
      if (!device.startsWith('cooling_device')) continue
      if (!/cpufreq|^processor$/i.test(await this.#files.text(join(THERMAL, device, 'type')))) continue
      const state = await this.#files.number(join(THERMAL, device, 'cur_state'))
      if (state !== null) throttled = throttled === true || state > 0
    }
    return throttled === undefined ? {} : { throttled }
  }

  async #counters(): Promise<Throttling> {
    const count = await this.#files.number('sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count')
    const before = this.#lastCount
    this.#lastCount = count
    return count === null ? {} : { throttled: before !== null && count > before }
  }
}

/** The emptiest battery that powers the machine; a mouse's is none. null without one. */
export async function readBattery(files: SystemFiles): Promise<Battery | null> {
  let emptiest: Battery | null = null
  for (const supply of await batteries(files)) {
    const percent = await files.number(join(supply, 'capacity'))
    if (percent === null || (emptiest !== null && emptiest.percent <= percent)) continue
    emptiest = { percent, discharging: await isDischarging(files, supply) }
  }
  return emptiest
}

/** Folders of those that power the machine. */
async function batteries(files: SystemFiles): Promise<string[]> {
  const found: string[] = []
  for (const name of await files.list(POWER)) {
    const supply = join(POWER, name)
    if ((await files.text(join(supply, 'type'))) !== 'Battery') continue
    if ((await files.text(join(supply, 'scope'))) !== 'Device') found.push(supply)
  }
  return found
}

const isDischarging = async (files: SystemFiles, supply: string): Promise<boolean> =>
  (await files.text(join(supply, 'status'))) === 'Discharging'

/** More than any edge device draws is a sensor that is not connected. */
const MAX_WATTS = 10_000

/**
 * What the machine draws: of a battery that discharges, else the largest of the power sensors, which where there are
 * several is the input of the whole board (its other rails are parts of it). null where nothing is told.
 */
export async function readWatts(files: SystemFiles): Promise<number | null> {
  for (const supply of await batteries(files)) {
    const watts = (await isDischarging(files, supply)) ? await batteryWatts(files, supply) : null
    if (watts !== null) return watts
  }
  let most: number | null = null
  for (const chip of await files.list(HWMON))
    for (const file of await files.list(join(HWMON, chip))) {
      if (!/^power\d+_(input|average)$/.test(file)) continue
      const watts = credibleWatts(await files.number(join(HWMON, chip, file)))
      if (watts !== null && watts > (most ?? 0)) most = watts
    }
  return most
}

/** Batteries tell their power, or current (uA) and voltage (uV); some drivers tell a negative current while they empty. */
async function batteryWatts(files: SystemFiles, supply: string): Promise<number | null> {
  const power = await files.number(join(supply, 'power_now'))
  if (power !== null) return credibleWatts(Math.abs(power))
  const [current, voltage] = await Promise.all(
    ['current_now', 'voltage_now'].map((file) => files.number(join(supply, file)))
  )
  if (current == null || voltage == null) return null
  return credibleWatts((Math.abs(current) * voltage) / 1e6)
}

function credibleWatts(microwatts: number | null): number | null {
  const watts = (microwatts ?? 0) / 1e6
  return watts > 0 && watts < MAX_WATTS ? Math.round(watts * 100) / 100 : null
}
