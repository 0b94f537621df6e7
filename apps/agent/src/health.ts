import { readdir, readFile } from 'node:fs/promises'
import { freemem, loadavg, totalmem } from 'node:os'
import { join } from 'node:path'
import type { DeviceHealth } from '@skerry/contracts'

type Usage = { cpuMs: number; rssBytes: number }

/** Linux reports process times in hundredths of a second on every architecture that Node runs on. */
const TICK_MS = 10
const THERMAL = '/sys/class/thermal'

/**
 * Reads how the device is. `cpuPercent` is what the agent and its runtimes' processes took since the last reading,
 * 100 for one core; `memoryUsedBytes` is the whole machine's, `rssBytes` the agent's with its runtimes.
 */
export class HealthReader {
  readonly #childPids: () => readonly number[]
  readonly #now: () => number
  #cpuMs = new Map<number, number>()
  #readAtMs: number

  constructor(childPids: () => readonly number[], now: () => number) {
    this.#childPids = childPids
    this.#now = now
    this.#readAtMs = now()
    this.#cpuMs.set(process.pid, ownUsage().cpuMs)
  }

  async read(): Promise<DeviceHealth> {
    const usages = new Map<number, Usage>([[process.pid, ownUsage()]])
    for (const pid of this.#childPids()) {
      const usage = await usageOf(pid)
      if (usage !== null) usages.set(pid, usage)
    }
    const now = this.#now()
    const elapsedMs = Math.max(1, now - this.#readAtMs)
    let spentMs = 0
    let rssBytes = 0
    for (const [pid, usage] of usages) {
      spentMs += Math.max(0, usage.cpuMs - (this.#cpuMs.get(pid) ?? 0))
      rssBytes += usage.rssBytes
    }
    this.#cpuMs = new Map([...usages].map(([pid, { cpuMs }]) => [pid, cpuMs]))
    this.#readAtMs = now
    const temperatureC = await hottestZoneC()
    return {
      cpuPercent: round((100 * spentMs) / elapsedMs),
      memoryUsedBytes: totalmem() - (await availableBytes()),
      ...(temperatureC === null ? {} : { temperatureC }),
      rssBytes,
      loadAverage: round(loadavg()[0] ?? 0),
      at: new Date(now).toISOString()
    }
  }
}

function ownUsage(): Usage {
  const { user, system } = process.cpuUsage()
  return { cpuMs: (user + system) / 1000, rssBytes: process.memoryUsage.rss() }
}

/** null where the process is gone or the system has no /proc. */
async function usageOf(pid: number): Promise<Usage | null> {
  const [stat, status] = await Promise.all([readText(`/proc/${pid}/stat`), readText(`/proc/${pid}/status`)])
  // The second field is the program's name in brackets, which may hold spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const rssKib = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1])
  return Number.isNaN(ticks) || Number.isNaN(rssKib) ? null : { cpuMs: ticks * TICK_MS, rssBytes: rssKib * 1024 }
}

/** Memory that could be given to a program now; `freemem` alone counts the page cache as used. */
async function availableBytes(): Promise<number> {
  const kib = /^MemAvailable:\s+(\d+) kB/m.exec(await readText('/proc/meminfo'))?.[1]
  return kib === undefined ? freemem() : Number(kib) * 1024
}

async function hottestZoneC(): Promise<number | null> {
  const zones = await readdir(THERMAL).catch(() => [])
  const readings = await Promise.all(
    zones.filter((zone) => zone.startsWith('thermal_zone')).map((zone) => readText(join(THERMAL, zone, 'temp')))
  )
  const degrees = readings.map((text) => Number.parseInt(text, 10) / 1000).filter((value) => value > 0 && value < 200)
  return degrees.length === 0 ? null : round(Math.max(...degrees))
}

const readText = (path: string): Promise<string> => readFile(path, 'utf8').catch(() => '')
const round = (value: number): number => Math.round(value * 10) / 10
