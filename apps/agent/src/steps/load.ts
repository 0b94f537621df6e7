import type { Unit } from '../plan.ts'
import type { StepDeps } from './step-deps.ts'

/** Loads a unit's model into its runtime's process; resolves with the runtime's own load time in ms. */
export async function load(unit: Unit, deps: StepDeps): Promise<number> {
  const { id, artifact, runtime, manifest } = unit
  const { loaded } = await deps.host.load({
    id,
    artifact,
    runtime,
    path: deps.cache.path(artifact),
    names: manifest.names
  })
  return loaded.loadMs
}
