import { statfs } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, availableParallelism, cpus, freemem, platform, release, totalmem } from 'node:os'
import type { DeviceFacts, RuntimeInfo, RuntimeName } from '@skerry/contracts'
import type { TfliteRuntime } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { AgentError, wordsOf } from './agent-error.ts'
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
  log: Logger
}

/**
 * The runtimes that start on this machine, the fastest first. Each is started once and ended again: a library that
 * is there but does not run here (another libc, another CPU) shows only so.
 */
export async function probeRuntimes({ wanted, hasLiteRtLibrary, start, log }: RuntimeProbe): Promise<RuntimeInfo[]> {
  const candidates: RuntimeName[] =
    wanted === 'auto' ? (hasLiteRtLibrary ? ['litert', 'tfjs-tflite'] : ['tfjs-tflite']) : [wanted]
  const reasons: string[] = []
  const found: RuntimeInfo[] = []
  for (const name of candidates) {
    try {
      const runtime = await start(name)
      found.push({ name: runtime.info.name, version: runtime.info.version })
      await runtime.close()
    } catch (error) {
      reasons.push(`${name}: ${wordsOf(error)}`)
      log.warn({ runtime: name, reason: wordsOf(error) }, 'a runtime does not start on this device')
    }
  }
  if (found.length > 0) return found
  throw new AgentError('no-runtime', `No TFLite runtime starts on this device. ${reasons.join(' ')}`)
}
