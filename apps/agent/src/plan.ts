import { createHash } from 'node:crypto'
import { canonicalJson, type DesiredArtifact, type Manifest, type RuntimeName } from '@skerry/contracts'

/**
 * What the agent loads and checks once: an artifact with its manifest on one runtime. Any number of deployments may
 * ask for the same unit.
 */
export type Unit = {
  id: string
  artifact: string
  runtime: RuntimeName
  manifest: Manifest
  signature: string
  deployments: string[]
}

export type Current = {
  /** Whole files in the cache, by hash, the least recently used first. */
  files: ReadonlySet<string>
  /** Bytes of each of them. */
  sizes: ReadonlyMap<string, number>
  /** What the files may take together. What is wanted or pinned stays whatever it takes. */
  limitBytes: number
  /** Files and models that something other than the desired state uses now. */
  pinned: ReadonlySet<string>
  /** Ids of units. */
  verified: ReadonlySet<string>
  loaded: ReadonlySet<string>
  checked: ReadonlySet<string>
  /** Units that failed for good, or that wait for their next attempt. */
  held: ReadonlySet<string>
}

export type UnitStep = { kind: 'fetch'; unit: Unit; file: string } | { kind: 'verify' | 'load' | 'check'; unit: Unit }
export type EvictStep = { kind: 'evict'; model: string } | { kind: 'evict'; file: string }
export type Step = UnitStep | EvictStep

export function unitsOf(desired: readonly DesiredArtifact[]): Unit[] {
  const units = new Map<string, Unit>()
  for (const { deployment, artifact, runtime, manifest, signature } of desired) {
    const id = `${runtime}:${artifact}:${digest(`${signature}\n${canonicalJson(manifest)}`)}`
    const unit = units.get(id)
    if (unit === undefined) units.set(id, { id, artifact, runtime, manifest, signature, deployments: [deployment] })
    else if (!unit.deployments.includes(deployment)) unit.deployments.push(deployment)
  }
  return [...units.values()]
}

/** The files that a unit needs on the disk. */
export function filesOf({ artifact, manifest }: Pick<Unit, 'artifact' | 'manifest'>): string[] {
  const { goldenInputs, goldenOutputs } = manifest
  return [artifact, ...(goldenInputs === undefined || goldenOutputs === undefined ? [] : [goldenInputs, goldenOutputs])]
}

/**
 * The steps that lead from the current state to the desired one, in an order in which they can be executed:
 *
 *     fetch (model, goldens) -> verify -> load -> check -> ready
 *
 * Models that nobody wants leave the memory first. Files that nobody wants stay on the disk while there is room; where
 * they and what is still to come take more than the limit, the least recently used leave before the others come: a
 * small device may have no room for both. Pure; the same arguments give the same steps.
 */
export function plan(desired: readonly Unit[], current: Current): Step[] {
  const wantedUnits = new Set(desired.map((unit) => unit.id))
  const wantedFiles = new Set(desired.flatMap(filesOf))
  const steps: Step[] = []
  for (const model of current.loaded) {
    if (!wantedUnits.has(model) && !current.pinned.has(model)) steps.push({ kind: 'evict', model })
  }
  let bytes = bytesToCome(desired, current)
  for (const file of current.files) bytes += current.sizes.get(file) ?? 0
  for (const file of current.files) {
    if (bytes <= current.limitBytes) break
    if (wantedFiles.has(file) || current.pinned.has(file)) continue
    bytes -= current.sizes.get(file) ?? 0
    steps.push({ kind: 'evict', file })
  }
  const fetching = new Set<string>()
  for (const unit of desired) {
    if (current.held.has(unit.id)) continue
    for (const file of filesOf(unit)) {
      if (current.files.has(file) || fetching.has(file)) continue
      fetching.add(file)
      steps.push({ kind: 'fetch', unit, file })
    }
    if (!current.verified.has(unit.id)) steps.push({ kind: 'verify', unit })
    if (!current.loaded.has(unit.id)) steps.push({ kind: 'load', unit })
    if (!current.checked.has(unit.id)) steps.push({ kind: 'check', unit })
  }
  return steps
}

/** Of the models; a manifest does not tell how long its golden files are, which are small beside it. */
function bytesToCome(desired: readonly Unit[], { files }: Current): number {
  const missing = new Map(desired.map(({ artifact, manifest }) => [artifact, manifest.bytes]))
  for (const file of files) missing.delete(file)
  return [...missing.values()].reduce((sum, bytes) => sum + bytes, 0)
}

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16)
