import { readCgroup } from './cgroup.ts'
import type { SystemFiles } from './system-files.ts'

export type Memory = { totalBytes: number; availableBytes: number }

/** What Node says where the system has no /proc. */
export type MachineSize = { cores: number; memoryBytes: number; freeBytes: number }

/** Memory that the agent may take, and what of it could be given to a program now: the cgroup's where that is less. */
export async function readMemory(files: SystemFiles, machine: MachineSize): Promise<Memory> {
  const [meminfo, cgroup] = await Promise.all([files.text('proc/meminfo'), readCgroup(files)])
  const total = kibOf(meminfo, 'MemTotal') ?? machine.memoryBytes
  // `MemFree` alone counts the page cache as used.
  const available = kibOf(meminfo, 'MemAvailable') ?? machine.freeBytes
  const totalBytes = Math.min(total, cgroup.memoryBytes ?? total)
  return { totalBytes, availableBytes: Math.min(totalBytes, available, cgroup.memoryFreeBytes ?? available) }
}

/** Cores that the agent may keep busy, a part of one counted as one. */
export async function readCores(files: SystemFiles, machine: MachineSize): Promise<number> {
  const { cpus } = await readCgroup(files)
  return Math.max(1, Math.min(machine.cores, Math.ceil(cpus ?? machine.cores)))
}

/** A runtime's process with a model of average size; measured 66 to 120 MB, and inputs and outputs several times over. */
const SLOT_BYTES = 256 * 1024 * 1024

/** Inferences at once that neither compete for a core nor take more than half of the memory. */
export function slotsFor({
  cores,
  memoryBytes,
  threads
}: {
  cores: number
  memoryBytes: number
  threads: number
}): number {
  return Math.max(1, Math.min(Math.floor(cores / threads), Math.floor(memoryBytes / 2 / SLOT_BYTES)))
}

function kibOf(meminfo: string, name: string): number | null {
  const kib = new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1]
  return kib === undefined ? null : Number(kib) * 1024
}
