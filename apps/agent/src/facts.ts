import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import type { DeviceFacts, RuntimeBenchmark, RuntimeInfo } from '@skerry/contracts'
import { type MachineSize, readCores, readMemory } from './system/resources.ts'
import type { SystemFiles } from './system/system-files.ts'

// Beside src and dist alike.
export const { version: agentVersion } = createRequire(import.meta.url)('../package.json') as { version: string }

/** As Node sees it, without the limits of a cgroup. */
export function machineSize(): MachineSize {
  return { cores: availableParallelism(), memoryBytes: totalmem(), freeBytes: freemem() }
}

/** What works here, and how well. */
export type MeasuredRuntimes = { runtimes: RuntimeInfo[]; benchmark: RuntimeBenchmark[] }

/** What this machine is, or what of it a cgroup leaves the agent; `diskFreeBytes` is what the data directory's file system has left. */
export async function readFacts(
  dataDir: string,
  { runtimes, benchmark }: MeasuredRuntimes,
  files: SystemFiles,
  converterStamp?: string
): Promise<DeviceFacts> {
  const { bavail, bsize } = await statfs(dataDir)
  const machine = machineSize()
  const { totalBytes } = await readMemory(files, machine)
  return {
    arch: arch(),
    os: `${platform()} ${release()}`,
    // Linux on ARM often tells no model.
    cpuModel: cpus()[0]?.model.trim() || 'unknown',
    cores: await readCores(files, machine),
    memoryBytes: totalBytes,
    diskFreeBytes: bavail * bsize,
    runtimes,
    agentVersion,
    ...(benchmark.length === 0 ? {} : { benchmark }),
    ...(converterStamp === undefined ? {} : { converterStamp })
  }
}
