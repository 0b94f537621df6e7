import { statfs } from 'node:fs/promises'
import { loadavg } from 'node:os'
import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks'
import type { DeviceHealth } from '@skerry/contracts'
import type { NetworkFacts } from './network-meter.ts'
import { type MachineSize, readMemory } from './system/resources.ts'
import { readTemperatureC, readWatts, ThrottlingReader } from './system/sensors.ts'
import type { SystemFiles } from './system/system-files.ts'

type Usage = { cpuMs: number; rssBytes: number }

export type HealthDeps = {
  files: SystemFiles
  machine: MachineSize
  dataDir: string
  childPids: () => readonly number[]
  /** Work that waits for a slot. */
  queueDepth: () => number
  /** Why work is refused now, or null. */
  refusal: () => Promise<string | null>
  network: () => NetworkFacts
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Linux reports process times in hundredths of a second on every architecture that Node runs on. */
const TICK_MS = 10
/** Ten times a second costs nothing that can be measured, and sees every stall that a person would. */
const LAG_RESOLUTION_MS = 100

/**
 * Reads how the device is. `cpuPercent` is what the agent and its runtimes' processes took since the last reading,
 * 100 for one core; `memoryUsedBytes` is the whole machine's, or the cgroup's where that limits the agent; `rssBytes`
 * the agent's with its runtimes; `eventLoopLagMs` the longest since the last reading.
 */
export class HealthReader {
  readonly #deps: HealthDeps
  readonly #throttling: ThrottlingReader
  readonly #lag: IntervalHistogram
  #cpuMs = new Map<number, number>()
  #readAtMs: number

  constructor(deps: HealthDeps) {
    this.#deps = deps
    this.#throttling = new ThrottlingReader(deps.files)
    this.#readAtMs = deps.now()
    this.#cpuMs.set(process.pid, ownUsage().cpuMs)
    this.#lag = monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS })
    this.#lag.enable()
  }

  stop(): void {
    this.#lag.disable()
  }

  async read(): Promise<DeviceHealth> {
    const { files, machine, dataDir, queueDepth, refusal, network, now } = this.#deps
    const { cpuPercent, rssBytes } = await this.#usage()
    const [memory, temperatureC, throttling, watts, disk, reason] = await Promise.all([
      readMemory(files, machine),
      readTemperatureC(files),
      this.#throttling.read(),
      readWatts(files),
      statfs(dataDir),
      refusal()
    ])
    return {
      cpuPercent,
      memoryUsedBytes: memory.totalBytes - memory.availableBytes,
      ...(temperatureC === null ? {} : { temperatureC }),
      ...throttling,
      ...(watts === null ? {} : { watts }),
      rssBytes,
      diskFreeBytes: disk.bavail * disk.bsize,
      loadAverage: tenths(loadavg()[0] ?? 0),
      eventLoopLagMs: this.#takeLagMs(),
      queueDepth: queueDepth(),
      ...network(),
      ...(reason === null ? {} : { refusing: reason }),
      at: new Date(now()).toISOString()
    }
  }

  async #usage(): Promise<{ cpuPercent: number; rssBytes: number }> {
    const usages = new Map<number, Usage>([[process.pid, ownUsage()]])
    for (const pid of this.#deps.childPids()) {
      const usage = await usageOf(this.#deps.files, pid)
      if (usage !== null) usages.set(pid, usage)
    }
    const now = this.#deps.now()
    const elapsedMs = Math.max(1, now - this.#readAtMs)
    let spentMs = 0
    let rssBytes = 0
    for (const [pid, usage] of usages) {
      spentMs += Math.max(0, usage.cpuMs - (this.#cpuMs.get(pid) ?? 0))
      rssBytes += usage.rssBytes
    }
    this.#cpuMs = new Map([...usages].map(([pid, { cpuMs }]) => [pid, cpuMs]))
    this.#readAtMs = now
    return { cpuPercent: tenths((100 * spentMs) / elapsedMs), rssBytes }
  }

  /** The histogram counts the time from tick to tick, the resolution included. */
  #takeLagMs(): number {
    const lagMs = this.#lag.count === 0 ? 0 : this.#lag.max / 1e6 - LAG_RESOLUTION_MS
    this.#lag.reset()
    return Math.max(0, tenths(lagMs))
  }
}

function ownUsage(): Usage {
  const { user, system } = process.cpuUsage()
  return { cpuMs: (user + system) / 1000, rssBytes: process.memoryUsage.rss() }
}

/** null where the process is gone or the system has no /proc. */
async function usageOf(files: SystemFiles, pid: number): Promise<Usage | null> {
  const [stat, status] = await Promise.all([files.text(`proc/${pid}/stat`), files.text(`proc/${pid}/status`)])
  // The second field is the program's name in brackets, which may hold spaces and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const ticks = Number(fields[11]) + Number(fields[12])
  const rssKib = Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1])
  return Number.isNaN(ticks) || Number.isNaN(rssKib) ? null : { cpuMs: ticks * TICK_MS, rssBytes: rssKib * 1024 }
}

const tenths = (value: number): number => Math.round(value * 10) / 10
