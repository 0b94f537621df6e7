import type { Unit } from '../plan.ts'
import type { StepDeps } from './step-deps.ts'

/** Brings one file of a unit into the cache, going on where an earlier transfer was cut. */
export async function fetchFile(unit: Unit, file: string, deps: StepDeps, signal: AbortSignal): Promise<void> {
  await deps.cache.fetch(file, signal, file === unit.artifact ? unit.manifest.bytes : undefined)
}
