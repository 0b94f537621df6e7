import { readFile } from 'node:fs/promises'
import { isA, RuntimeBenchmark, type RuntimeInfo, type RuntimeName, Type } from '@skerry/contracts'
import {
  type RankedRuntime,
  type RuntimeProfile,
  rankingModel,
  rankRuntimes,
  runtimeNames,
  type TfliteRuntime
} from '@skerry/runtimes'
import type { Logger } from 'pino'
import { AgentError, wordsOf } from '../agent-error.ts'
import { writeFileAtomic } from '../atomic-file.ts'
import type { SystemFiles } from '../system/system-files.ts'
import { type Conditions, isSame, readConditions } from './conditions.ts'

export type RuntimeProbe = {
  wanted: 'auto' | RuntimeName
  /** LiteRT's library, where there is one. */
  library: string | undefined
  version: string | undefined
  threads: number
  start: (name: RuntimeName) => Promise<TfliteRuntime>
  /** What is not there of a runtime that comes as an optional package. */
  missing: (name: RuntimeName) => string | null
}

export type StandardBenchmarkDeps = { path: string; files: SystemFiles; now: () => number; log: Logger }

type Entry = { conditions: Conditions; result: RuntimeBenchmark }
const KeptFile = Type.Array(
  Type.Object({ conditions: Type.Record(Type.String(), Type.String()), result: RuntimeBenchmark })
)

/** Some tenths of a second per runtime: these are milliseconds of work, and the runtimes are factors apart. */
const phases = { warmupRuns: 2, warmupDurationMs: 0, runs: 15, durationMs: 0, maxDurationMs: 1_000, timeoutMs: 30_000 }

/**
 * What each runtime takes for a model that every agent has built in: it says which runtimes work here, which of them is
 * the fastest, and how this device compares with others. Kept on the disk, because it takes a start of each runtime and
 * seconds on a small device; measured again where what it depends on has changed.
 */
export class StandardBenchmark {
  readonly #deps: StandardBenchmarkDeps
  #kept: Map<RuntimeName, Entry>

  static async open(deps: StandardBenchmarkDeps): Promise<StandardBenchmark> {
    const kept = new Map<RuntimeName, Entry>()
    try {
      const file: unknown = JSON.parse(await readFile(deps.path, 'utf8'))
      if (!isA(KeptFile, file)) throw new Error('it holds something else')
      for (const entry of file) kept.set(entry.result.name, entry)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        deps.log.warn({ error: wordsOf(error) }, 'what the runtimes were measured to do is not known: they are again')
      }
    }
    return new StandardBenchmark(deps, kept)
  }

  private constructor(deps: StandardBenchmarkDeps, kept: Map<RuntimeName, Entry>) {
    this.#deps = deps
    this.#kept = kept
  }

  /** Of these runtimes, in their order, what is known. */
  of(runtimes: readonly RuntimeInfo[]): RuntimeBenchmark[] {
    return runtimes.flatMap(({ name }) => this.#kept.get(name)?.result ?? [])
  }

  /**
   * The runtimes that work on this machine, the fastest first. One whose result is not kept is started once and ended
   * again: a library that is there but does not run here (another libc, another CPU) shows only so. Throws `no-runtime`.
   */
  async probe({ wanted, library, version, threads, start, missing }: RuntimeProbe): Promise<RuntimeInfo[]> {
    const { files } = this.#deps
    const candidates: readonly RuntimeName[] =
      wanted === 'auto' ? this.#installed(library !== undefined, missing) : [wanted]
    const works = new Map<RuntimeName, RuntimeBenchmark>()
    const measured = new Map<RuntimeName, Conditions | null>()
    for (const runtime of candidates) {
      const given = runtime === 'litert' ? { library, version } : {}
      const conditions = await readConditions({ runtime, threads, ...given }, files)
      const entry = this.#kept.get(runtime)
      if (conditions !== null && entry !== undefined && isSame(conditions, entry.conditions)) {
        works.set(runtime, entry.result)
      } else measured.set(runtime, conditions)
    }
    const reasons: string[] = []
    for (const each of measured.size === 0 ? [] : await this.#rank([...measured.keys()], start)) {
      if ('reason' in each) {
        reasons.push(`${each.name}: ${each.reason}`)
        this.#deps.log.warn({ runtime: each.name, reason: each.reason }, 'a runtime does not start on this device')
        this.#kept.delete(each.name)
        continue
      }
      const result = this.#resultOf(each, threads)
      works.set(result.name, result)
      const conditions = measured.get(result.name)
      if (conditions) this.#kept.set(result.name, { conditions, result })
      this.#deps.log.info({ runtime: each.info, p50Ms: result.float32.p50Ms }, 'a runtime works on this device')
    }
    if (measured.size > 0) await this.#save()
    const inOrder = [...works.values()].sort((a, b) => a.float32.p50Ms - b.float32.p50Ms)
    if (inOrder.length > 0) return inOrder.map(infoOf)
    throw new AgentError('no-runtime', `No TFLite runtime starts on this device. ${reasons.join(' ')}`)
  }

  /** A runtime that did not start: the next probe tries it again, whatever is kept of it. */
  async forget(name: RuntimeName): Promise<void> {
    if (this.#kept.delete(name)) await this.#save()
  }

  /** What nobody asked for by name may be absent, and is no fault. */
  #installed(hasLiteRtLibrary: boolean, missing: RuntimeProbe['missing']): RuntimeName[] {
    return runtimeNames.filter((name) => {
      if (name === 'litert' && !hasLiteRtLibrary) return false
      const absent = missing(name)
      if (absent !== null) this.#deps.log.info({ runtime: name, absent }, 'a runtime is not installed on this device')
      return absent === null
    })
  }

  #rank(
    candidates: readonly RuntimeName[],
    start: (name: RuntimeName) => Promise<TfliteRuntime>
  ): Promise<RankedRuntime[]> {
    return rankRuntimes(rankingModel(), start, { ...phases, candidates, further: { int8: rankingModel('int8') } })
  }

  #resultOf({ info, profile, further }: Extract<RankedRuntime, { info: unknown }>, threads: number): RuntimeBenchmark {
    const int8 = further.get('int8')
    return {
      ...infoOf(info),
      threads,
      at: new Date(this.#deps.now()).toISOString(),
      float32: timesOf(profile),
      ...(int8 === undefined ? {} : { int8: timesOf(int8) })
    }
  }

  /** A disk that is full costs the measurement at the next start, nothing more. */
  async #save(): Promise<void> {
    const { path, log } = this.#deps
    await writeFileAtomic(path, JSON.stringify([...this.#kept.values()]), 0o600).catch((error: unknown) =>
      log.warn({ error: wordsOf(error) }, 'what the runtimes were measured to do could not be kept')
    )
  }
}

const timesOf = ({ initMs, firstMs, steady: { p50Ms, p99Ms } }: RuntimeProfile) => ({ initMs, firstMs, p50Ms, p99Ms })

const infoOf = ({ name, version, accelerators }: TfliteRuntime['info'] | RuntimeBenchmark): RuntimeInfo => ({
  name,
  version,
  ...(accelerators === undefined ? {} : { accelerators: [...accelerators] })
})
