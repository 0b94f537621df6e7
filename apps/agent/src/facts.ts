import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import type { DeviceFacts, RuntimeInfo, RuntimeName } from '@skerry/contracts'
import { rankingModel, rankRuntimes, runtimeNames, type TfliteRuntime } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { AgentError } from './agent-error.ts'
import { type MachineSize, readCores, readMemory } from './system/resources.ts'
import type { SystemFiles } from './system/system-files.ts'

// Beside src and dist alike.
export const { version: agentVersion } = createRequire(import.meta.url)('../package.json') as { version: string }

/** As Node sees it, without the limits of a cgroup. */
export function machineSize(): MachineSize {
  return { cores: availableParallelism(), memoryBytes: totalmem(), freeBytes: freemem() }
}

/** What this machine is, or what of it a cgroup leaves the agent; `diskFreeBytes` is what the data directory's file system has left. */
export async function readFacts(
  dataDir: string,
  runtimes: RuntimeInfo[],
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
    ...(converterStamp === undefined ? {} : { converterStamp })
  }
}

export type RuntimeProbe = {
  wanted: 'auto' | RuntimeName
  hasLiteRtLibrary: boolean
  start: (name: RuntimeName) => Promise<TfliteRuntime>
  /** What is not there of a runtime that comes as an optional package. */
  missing: (name: RuntimeName) => string | null
  log: Logger
}

/** A tenth of a second or so per runtime: these are milliseconds of work, and the runtimes are factors apart. */
const ranking = { warmupRuns: 2, warmupDurationMs: 0, runs: 15, durationMs: 0, maxDurationMs: 1_000, timeoutMs: 30_000 }

/**
 * The runtimes that work on this machine, the fastest first as measured on a small convolution. Each is started once and
 * ended again: a library that is there but does not run here (another libc, another CPU) shows only so.
 */
export async function probeRuntimes({
  wanted,
  hasLiteRtLibrary,
  start,
  missing,
  log
}: RuntimeProbe): Promise<RuntimeInfo[]> {
  const candidates: readonly RuntimeName[] = wanted === 'auto' ? installed() : [wanted]
  const reasons: string[] = []
  const found: RuntimeInfo[] = []
  for (const each of await rankRuntimes(rankingModel(), start, { ...ranking, candidates })) {
    if ('profile' in each) {
      found.push({ name: each.info.name, version: each.info.version })
      log.info({ runtime: each.info, p50Ms: each.profile.steady.p50Ms }, 'a runtime works on this device')
    } else {
      reasons.push(`${each.name}: ${each.reason}`)
      log.warn({ runtime: each.name, reason: each.reason }, 'a runtime does not start on this device')
    }
  }
  if (found.length > 0) return found
  throw new AgentError('no-runtime', `No TFLite runtime starts on this device. ${reasons.join(' ')}`)

  /** What nobody asked for by name may be absent, and is no fault. */
  function installed(): RuntimeName[] {
    return runtimeNames.filter((name) => {
      if (name === 'litert' && !hasLiteRtLibrary) return false
      const absent = missing(name)
      if (absent !== null) log.info({ runtime: name, absent }, 'a runtime is not installed on this device')
      return absent === null
    })
  }
}
