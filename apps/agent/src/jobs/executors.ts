import { join } from 'node:path'
import type { ConverterWorker } from '@skerry/converter'
import type { Logger } from 'pino'
import type { AgentSettings } from '../config.ts'
import type { LiveConfig } from '../remote/live-config.ts'
import { type BenchmarkDeps, benchmarkExecutor } from './benchmark.ts'
import { conversionExecutor } from './conversion.ts'
import { type InferenceDeps, inferenceExecutor } from './inference.ts'
import type { JobExecutors } from './job-outcome.ts'

export type ExecutorDeps = InferenceDeps &
  BenchmarkDeps & {
    settings: AgentSettings
    live: LiveConfig
    /** On a device that converts. */
    converter?: { worker: ConverterWorker; stamp?: string }
    log: Logger
  }

export const workDirOf = (dataDir: string): string => join(dataDir, 'work')

/** What this device can do of the work that there is. */
export function jobExecutors(deps: ExecutorDeps): Partial<JobExecutors> {
  const { settings, live, blobs, converter, log } = deps
  const { capabilities, dataDir, python, liteRtLibrary, liteRtVersion, random } = settings
  const executors: Partial<JobExecutors> = {}
  if (capabilities.includes('infer')) {
    executors.inference = inferenceExecutor(deps)
    executors.benchmark = benchmarkExecutor(deps)
  }
  if (converter !== undefined && python !== undefined) {
    executors.conversion = conversionExecutor({
      blobs,
      workDir: workDirOf(dataDir),
      python,
      ...converter,
      ...(liteRtLibrary === undefined ? {} : { liteRtLibrary }),
      ...(liteRtVersion === undefined ? {} : { liteRtVersion }),
      runtimes: live.runtimes.map(({ name }) => name),
      random,
      log
    })
  }
  return executors
}
