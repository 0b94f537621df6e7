import { dirname, join } from 'node:path'
import type { SystemFiles } from './system-files.ts'

export type CgroupLimits = {
  /** null where no limit holds. */
  memoryBytes: number | null
  /** What of that limit is still free; page cache that the kernel can drop counts as free. */
  memoryFreeBytes: number | null
  /** CPUs' worth of time, for example 1.5. */
  cpus: number | null
}

/** What version 1 writes for no limit: the largest multiple of a page that fits, 2^63 - 4096 for most. */
const UNLIMITED_BYTES = 2 ** 60
const MOUNT = 'sys/fs/cgroup'

/** The narrowest limits of the process's control group and those around it, version 1 or 2, or both side by side. */
export async function readCgroup(files: SystemFiles): Promise<CgroupLimits> {
  const groups = (await files.text('proc/self/cgroup')).split('\n').map((line) => {
    const [, controllers = '', path = '/'] = /^\d+:([^:]*):(.*)$/.exec(line) ?? []
    return { controllers: controllers.split(','), path }
  })
  const pathOf = (controller: string): string | undefined =>
    groups.find(({ controllers }) => controllers.includes(controller))?.path
  const limits: CgroupLimits = { memoryBytes: null, memoryFreeBytes: null, cpus: null }
  const unified = pathOf('')
  if (unified !== undefined) {
    for (const mount of [MOUNT, join(MOUNT, 'unified')]) {
      for (const group of upwards(mount, unified)) {
        await narrowMemory(files, limits, group, 'memory.max', 'memory.current', 'inactive_file')
        const [quota, period] = (await files.text(join(group, 'cpu.max'))).split(' ').map(Number)
        narrowCpus(limits, quota, period)
      }
    }
  }
  const memory = pathOf('memory')
  if (memory !== undefined) {
    for (const group of upwards(join(MOUNT, 'memory'), memory)) {
      await narrowMemory(files, limits, group, 'memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
    }
  }
  const cpu = pathOf('cpu')
  if (cpu !== undefined) {
    for (const group of upwards(join(MOUNT, 'cpu'), cpu)) {
      const quota = await files.number(join(group, 'cpu.cfs_quota_us'))
      const period = await files.number(join(group, 'cpu.cfs_period_us'))
      if (quota !== null && period !== null) narrowCpus(limits, quota, period)
    }
  }
  return limits
}

/** From a group to the mount. Inside a container the path may be the host's and lie nowhere here; the mount does. */
function upwards(mount: string, path: string): string[] {
  const groups: string[] = []
  for (let at = path; at !== '/' && at !== '.'; at = dirname(at)) groups.push(join(mount, at))
  return [...groups, mount]
}

async function narrowMemory(
  files: SystemFiles,
  limits: CgroupLimits,
  group: string,
  limitFile: string,
  usageFile: string,
  cacheKey: string
): Promise<void> {
  const limit = await files.number(join(group, limitFile))
  if (limit === null || limit >= UNLIMITED_BYTES) return
  limits.memoryBytes = Math.min(limits.memoryBytes ?? limit, limit)
  const usage = await files.number(join(group, usageFile))
  if (usage === null) return
  const cache = new RegExp(`^${cacheKey} (\\d+)$`, 'm').exec(await files.text(join(group, 'memory.stat')))?.[1]
  const free = Math.max(0, limit - usage + Math.min(usage, Number(cache ?? 0)))
  limits.memoryFreeBytes = Math.min(limits.memoryFreeBytes ?? free, free)
}

function narrowCpus(limits: CgroupLimits, quota: number | undefined, period: number | undefined): void {
  if (quota === undefined || period === undefined || !(quota > 0) || !(period > 0)) return
  limits.cpus = Math.min(limits.cpus ?? quota / period, quota / period)
}
