import { describeMissing, missingOperators } from '@skerry/runtimes/operators'
import type { OperatorSupport } from '@skerry/scheduler'

/** The runtimes' operator tables in the scheduler's words. */
export const runtimeSupport: OperatorSupport = (runtime, operators) => {
  const missing = missingOperators(
    runtime.name,
    operators.map((operator) => ({ ...operator, count: 1 }))
  )
  return missing.length === 0 ? null : describeMissing(runtime.name, missing, runtime.version)
}
