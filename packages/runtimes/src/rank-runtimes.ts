import type { ModelSource } from './model-plan.ts'
import { type ProfileOptions, profileModel, type RuntimeProfile } from './profile.ts'
import { type RuntimeInfo, type RuntimeName, runtimeNames, type TfliteRuntime } from './runtime.ts'
import { RuntimeError } from './runtime-error.ts'

/** A runtime that ran the model, or why it did not. */
export type RankedRuntime = { info: RuntimeInfo; profile: RuntimeProfile } | { name: RuntimeName; reason: string }

/**
 * What `auto` stands for: every runtime is started, runs the model and is ended again, one after the other so that none
 * disturbs another. The fastest by steady p50 stands first; those that do not start here, or do not run the model, last.
 */
export async function rankRuntimes(
  source: ModelSource,
  start: (name: RuntimeName) => Promise<TfliteRuntime>,
  options: ProfileOptions & { candidates?: readonly RuntimeName[] } = {}
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
  options: ProfileOptions
): Promise<RankedRuntime> {
  let runtime: TfliteRuntime | undefined
  try {
    runtime = await start(name)
    const profile = await profileModel(runtime, 'auto', await runtime.load('auto', source), options)
    return { info: runtime.info, profile }
  } catch (error) {
    if (!(error instanceof RuntimeError)) throw error
    return { name, reason: error.message }
  } finally {
    await runtime?.close()
  }
}
