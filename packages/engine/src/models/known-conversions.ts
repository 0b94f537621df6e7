import { createHash } from 'node:crypto'
import { type AssignConversion, type ConversionResult, canonicalJson, type VariantRecipe } from '@skerry/contracts'
import type { KnownConversion } from '@skerry/registry'
import type { Static } from 'typebox'
import type { EngineResources } from '../resources.ts'

type Work = Omit<Static<typeof AssignConversion>, 'known'>
type Known = NonNullable<Static<typeof AssignConversion>['known']>

/**
 * One key per recipe: the hash of all that decides what a conversion by it gives. Tolerances are among it, because they
 * decide the state; time limits are not.
 */
function keyOf(stamp: string, work: Work, recipe: VariantRecipe): string {
  const { source, calibration, evaluation, preprocessing, labels, signature, tolerance, propose = true } = work
  const data = { source, calibration, evaluation, preprocessing, labels, signature }
  return createHash('sha256')
    .update(canonicalJson({ stamp, recipe, ...data, tolerance, propose }))
    .digest('hex')
}

/** What was converted before by a converter that a device here still has, whole: all its blobs are there. */
export async function findKnown({ registry, blobs }: EngineResources, work: Work): Promise<Known> {
  const stamps = await registry.knownConversions.stamps()
  const keys = stamps.flatMap((stamp) => work.variants.map((recipe) => keyOf(stamp, work, recipe)))
  const known: Known = {}
  for (const { stamp, result } of await registry.knownConversions.find(keys)) {
    if (!(await hasAll(result, (sha256) => blobs.has(sha256)))) continue
    const results = known[stamp] ?? []
    results.push(result)
    known[stamp] = results
  }
  return known
}

/** Remembers each variant of a result by its own recipe. One that failed may work the next time. */
export async function rememberConversion(
  { registry }: EngineResources,
  work: Work,
  result: ConversionResult
): Promise<void> {
  const { converterStamp, known = [], ...rest } = result
  if (converterStamp === undefined) return
  const fresh = result.variants.filter(({ recipe, state }) => state !== 'failed' && !known.includes(recipe))
  await registry.knownConversions.store(
    fresh.map(
      (variant): KnownConversion => ({
        key: keyOf(converterStamp, work, variant.recipe),
        stamp: converterStamp,
        result: { ...rest, variants: [variant] }
      })
    )
  )
}

async function hasAll(result: ConversionResult, has: (sha256: string) => Promise<boolean>): Promise<boolean> {
  for (const sha256 of blobsOf(result)) if (!(await has(sha256))) return false
  return true
}

/** Every blob that a result names. */
export function blobsOf({ goldenInputs, variants }: ConversionResult): string[] {
  const named = variants.flatMap(({ sha256, goldenOutputs, details }) => [
    sha256,
    goldenOutputs,
    details?.report?.html,
    details?.report?.json
  ])
  return [goldenInputs, ...named].filter((sha256) => sha256 !== undefined)
}
