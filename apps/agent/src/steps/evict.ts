import { wordsOf } from '../agent-error.ts'
import type { EvictStep } from '../plan.ts'
import type { StepDeps } from './step-deps.ts'

/** Takes a model out of memory or a file off the disk. What cannot be removed is logged: it is out of use either way. */
export async function evict(step: EvictStep, deps: StepDeps): Promise<void> {
  try {
    await ('model' in step ? deps.host.unload(step.model) : deps.cache.evict(step.file))
  } catch (error) {
    deps.log.warn({ step, error: wordsOf(error) }, 'something was not evicted cleanly')
  }
}
