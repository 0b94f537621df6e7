import type { ConversionResult, Recipe, VariantResult } from './types.ts'

/** What a conversion was made from, and with: the same manifest gives the same files, where every step is deterministic. */
export type Manifest = {
  sourceSha256: string
  format: ConversionResult['source']['format']
  signature?: string
  calibrationSha256?: string
  evaluationSha256?: string
  preprocessing?: ConversionResult['preprocessing']
  versions: Record<string, string>
  converter: { name: string; version: string }
  /** Runtimes that proved the variants, by name. */
  runtimes: Record<string, string>
  variants: { name: string; recipe?: Recipe; way?: string; sha256?: string }[]
}

export function manifestOf(result: ConversionResult): Manifest {
  const { source, signature, calibrationSha256, evaluationSha256, preprocessing, versions, converter } = result
  const runtimes = result.variants.flatMap((variant) => variant.runtimes.map(({ name, version }) => [name, version]))
  return {
    sourceSha256: source.sha256,
    format: source.format,
    ...(signature === undefined ? {} : { signature }),
    ...(calibrationSha256 === undefined ? {} : { calibrationSha256 }),
    ...(evaluationSha256 === undefined ? {} : { evaluationSha256 }),
    ...(preprocessing === undefined ? {} : { preprocessing }),
    versions,
    converter: { name: converter.name, version: converter.version },
    runtimes: Object.fromEntries(runtimes),
    variants: result.variants.map(({ variant, recipe, converterOptions, sha256 }) => ({
      name: variant,
      ...(recipe === undefined ? {} : { recipe }),
      ...(typeof converterOptions?.way === 'string' ? { way: converterOptions.way } : {}),
      ...(sha256 === undefined ? {} : { sha256 })
    }))
  }
}

/** The step at which two runs of one recipe part: what they were given, or what made the file. */
export type Step =
  | 'source'
  | 'recipe'
  | 'calibration'
  | 'versions'
  | 'way'
  | 'metadata'
  | 'export'
  | 'converter'
  | 'quantizer'

export type VariantComparison =
  | { variant: string; same: true; sha256: string }
  | { variant: string; same: false; step: Step; reason: string }

/**
 * Compares two conversions variant by variant: the same bytes, or the first step that differs. A file without a sha256
 * (it failed) differs from one that has one, and from none.
 *
 * @returns one entry per variant that is in both, in the order of `a`.
 */
export function compareRuns(a: ConversionResult, b: ConversionResult): VariantComparison[] {
  const given = differenceOfInputs(a, b)
  const pairs = a.variants.flatMap((first) => {
    const second = b.variants.find(({ variant }) => variant === first.variant)
    return second === undefined ? [] : [{ first, second }]
  })
  const float = pairs.find(({ first }) => first.variant === 'float32')
  // Every variant is made from the same export, and the float32 file shows it best: nothing is added to it.
  const floatDiffers = float !== undefined && float.first.sha256 !== float.second.sha256
  return pairs.map(({ first, second }) => {
    const { variant, sha256 } = first
    if (sha256 !== undefined && sha256 === second.sha256) return { variant, same: true, sha256 }
    return { variant, same: false, ...(differenceOfVariants(first, second) ?? given ?? blame(first, floatDiffers)) }
  })
}

type Difference = { step: Step; reason: string }

function differenceOfInputs(a: ConversionResult, b: ConversionResult): Difference | undefined {
  if (a.source.sha256 !== b.source.sha256 || a.signature !== b.signature) {
    return { step: 'source', reason: 'The sources differ.' }
  }
  if (a.calibrationSha256 !== b.calibrationSha256) {
    return { step: 'calibration', reason: 'The calibration data differ.' }
  }
  if (JSON.stringify(a.preprocessing) !== JSON.stringify(b.preprocessing)) {
    return { step: 'metadata', reason: 'The preprocessings differ, which stand in the files.' }
  }
  const names = new Set([...Object.keys(a.versions), ...Object.keys(b.versions)])
  const changed = [...names].filter((name) => a.versions[name] !== b.versions[name])
  if (changed.length === 0) return undefined
  const list = changed.map((name) => `${name} ${a.versions[name] ?? 'none'} and ${b.versions[name] ?? 'none'}`)
  return { step: 'versions', reason: `The packages differ: ${list.join(', ')}.` }
}

function differenceOfVariants(a: VariantResult, b: VariantResult): Difference | undefined {
  if (JSON.stringify(a.recipe) !== JSON.stringify(b.recipe)) return { step: 'recipe', reason: 'The recipes differ.' }
  if (a.sha256 === undefined || b.sha256 === undefined) {
    const failed = a.sha256 === undefined ? a : b
    return { step: 'converter', reason: `It failed in one run: ${failed.reason ?? 'no reason was given'}` }
  }
  if (JSON.stringify(a.metadata?.labels) !== JSON.stringify(b.metadata?.labels)) {
    return { step: 'metadata', reason: 'The labels differ, which stand in the files.' }
  }
  const [way, other] = [a.converterOptions?.way, b.converterOptions?.way]
  return way === other ? undefined : { step: 'way', reason: `It was made by the way ${way}, and by ${other}.` }
}

/** The same was given, the files differ: some step does not repeat itself. */
function blame({ recipe, variant }: VariantResult, floatDiffers: boolean): Difference {
  if (floatDiffers) {
    return { step: 'export', reason: 'The float32 files differ too: exporting the original is not deterministic.' }
  }
  return recipe?.engine === 'litert-quantizer'
    ? { step: 'quantizer', reason: `litert-quantizer does not repeat itself for ${variant}.` }
    : { step: 'converter', reason: `The converter does not repeat itself for ${variant}.` }
}
