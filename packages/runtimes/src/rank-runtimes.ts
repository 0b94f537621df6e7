import type { ModelSource } from './model-plan.ts'
import { type ProfileOptions, profileModel, type RuntimeProfile } from './profile.ts'
import { type RuntimeInfo, type RuntimeName, runtimeNames, type TfliteRuntime } from './runtime.ts'
import { RuntimeError } from './runtime-error.ts'

/** A runtime that ran the model, with what else it was asked to run and could, or why it did not. */
export type RankedRuntime =
  | { info: RuntimeInfo; profile: RuntimeProfile; further: Map<string, RuntimeProfile> }
  | { name: RuntimeName; reason: string }

export type RankOptions = ProfileOptions & {
  candidates?: readonly RuntimeName[]
  /** Models that are measured too, by name; they do not count for the order, and a runtime need not run them. */
  further?: Readonly<Record<string, ModelSource>>
}

/**
 * What `auto` stands for: every runtime is started, runs the model and is ended again, one after the other so that none
 * disturbs another. The fastest by steady p50 stands first; those that do not start here, or do not run the model, last.
 */
export async function rankRuntimes(
  source: ModelSource,
  start: (name: RuntimeName) => Promise<TfliteRuntime>,
  options: RankOptions = {}
): Promise<RankedRuntime[]> {
  const ranked: RankedRuntime[] = []
  for (const name of options.candidates ?? runtimeNames) ranked.push(await measure(name, source, start, options))
  const p50 = (each: RankedRuntime) => ('profile' in each ? each.profile.steady.p50Ms : Number.POSITIVE_INFINITY)
  // Infinity less itself is no number: those that did not run keep their order.
  return ranked.sort((a, b) => (p50(a) === p50(b) ? 0 : p50(a) - p50(b)))
}

async function measure(
  name: RuntimeName,
  source: ModelSource,
  start: (name: RuntimeName) => Promise<TfliteRuntime>,
  options: RankOptions
): Promise<RankedRuntime> {
  let runtime: TfliteRuntime | undefined
  try {
    runtime = await start(name)
    const profile = await profileModel(runtime, 'auto', await runtime.load('auto', source), options)
    const further = new Map<string, RuntimeProfile>()
    for (const [id, each] of Object.entries(options.further ?? {})) {
      const found = await profileIfRun(runtime, id, each, options)
      if (found !== null) further.set(id, found)
    }
    return { info: runtime.info, profile, further }
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error
    return { name, reason: error.message }
  } finally {
    await runtime?.close()
  }
}

/** null for a model that the runtime does not run: it ran the one that counts. */
async function profileIfRun(
  runtime: TfliteRuntime,
  id: string,
  source: ModelSource,
  options: ProfileOptions
): Promise<RuntimeProfile | null> {
  try {
    return await profileModel(runtime, id, await runtime.load(id, source), options)
  } catch (error) {
    if (error instanceof RuntimeError) return null
    throw error
  }
}
