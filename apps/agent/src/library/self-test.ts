import { rankingModel, rankRuntimes, startRuntime } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { AgentError } from '../agent-error.ts'

const runs = { warmupRuns: 1, warmupDurationMs: 0, runs: 3, durationMs: 0, maxDurationMs: 5_000, timeoutMs: 30_000 }

/** Starts a library in a process of its own, which checks its kernels, and runs a model there. Throws `no-runtime`. */
export async function selfTest(liteRtLibrary: string, version: string, log: Logger): Promise<void> {
  const onStderr = (line: string): void => log.debug({ runtime: 'litert', line }, 'runtime')
  const start = () => startRuntime('litert', { threads: 1, liteRtLibrary, version, onStderr })
  const [tried] = await rankRuntimes(rankingModel(), start, { ...runs, candidates: ['litert'] })
  if (tried === undefined || 'reason' in tried)
    throw new AgentError('no-runtime', `LiteRT ${version} does not pass its self-test: ${tried?.reason ?? 'unknown'}`)
}
