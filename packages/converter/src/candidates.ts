import type { LayerError, Proposal, Recipe, VariantResult } from './types.ts'

/** Another way to make a rejected variant, not yet tried. */
export type Candidate = {
  kind: Proposal['kind']
  recipe: Recipe
  /** The part of the calibration samples to use: from (included) to (not included). */
  calibrationTake?: { from: number; to: number }
  /** What is different, as the start of a sentence. */
  what: string
}

/** Operators with weights; keeping others float changes little and costs conversions on both sides. */
const weighted = new Set([
  'CONV_2D',
  'DEPTHWISE_CONV_2D',
  'FULLY_CONNECTED',
  'TRANSPOSE_CONV',
  'BATCH_MATMUL',
  'CONV_3D',
  'UNIDIRECTIONAL_SEQUENCE_LSTM',
  'SVDF'
])

const maxFloatLayers = 3
// Fewer say too little of the range of the activations.
const minCalibrationSamples = 16

/** In order: ways to keep what the variant is for, and, where they do not help, coarser ones that ask less. */
export type Candidates = { sameKind: Candidate[]; coarser: Candidate[] }

/**
 * What to try for a rejected quantized variant. Nothing that the request asks for anyway; nothing that uses the same
 * calibration where that has been found at fault.
 */
export function candidatesFor(
  result: VariantResult,
  layers: readonly LayerError[],
  facts: { requested: readonly string[]; calibrationUploaded: boolean }
): Candidates {
  const { recipe } = result
  if (recipe === undefined) return { sameKind: [], coarser: [] }
  const recalibrated = otherCalibration(result, recipe, facts.calibrationUploaded)
  const others = calibrationAtFault(layers) ? [] : [...otherEngine(recipe), ...floatLayers(recipe, layers)]
  const unasked = (candidates: Candidate[]) =>
    candidates.filter(({ recipe: { name } }) => !facts.requested.includes(name))
  return { sameKind: unasked([...recalibrated, ...others]), coarser: unasked(fallbacks(recipe)) }
}

/** The input itself loses most: the calibration data has values of another range than the real ones. */
export function calibrationAtFault(layers: readonly LayerError[]): boolean {
  return layers[0]?.operator === 'INPUT'
}

function otherCalibration(result: VariantResult, recipe: Recipe, uploaded: boolean): Candidate[] {
  const samples = result.converterOptions?.calibrationSamples
  if (!uploaded || typeof samples !== 'number' || samples < 2 * minCalibrationSamples) return []
  // Data often stands sorted by its classes: the middle has more of them than the start.
  const from = Math.floor(samples / 4)
  const count = Math.floor(samples / 2)
  return [
    {
      kind: 'other-calibration',
      recipe: { ...recipe, name: `${recipe.name}-middle${count}` },
      calibrationTake: { from, to: from + count },
      what: `Calibrated on the middle ${count} of the ${samples} samples`
    }
  ]
}

function otherEngine(recipe: Recipe): Candidate[] {
  if (recipe.engine === 'litert-quantizer' || recipe.batch === 'dynamic') return []
  return [{ kind: 'other-recipe', recipe: byQuantizer(recipe), what: 'Made by litert-quantizer' }]
}

function floatLayers(recipe: Recipe, layers: readonly LayerError[]): Candidate[] {
  if (recipe.batch === 'dynamic') return []
  const worst = layers.filter(({ operator }) => weighted.has(operator)).slice(0, maxFloatLayers)
  if (worst.length === 0) return []
  const quantizer = byQuantizer(recipe)
  const kept = { ...quantizer, name: `${quantizer.name}-float${worst.length}`, floatLayers: worst.map(exactly) }
  const what = `The ${worst.length === 1 ? 'worst layer' : `${worst.length} worst layers`} kept float, by litert-quantizer`
  return [{ kind: 'float-layers', recipe: kept, what }]
}

function fallbacks(recipe: Recipe): Candidate[] {
  const plain = { engine: 'tflite-converter', inputType: 'float32', perChannel: true, batch: recipe.batch } as const
  const dynamic: Candidate = {
    kind: 'other-recipe',
    recipe: { ...plain, name: 'dynamic_int8', variant: 'dynamic_int8' },
    what: 'int8 weights with float activations (dynamic_int8)'
  }
  const half: Candidate = {
    kind: 'other-recipe',
    recipe: { ...plain, name: 'float16', variant: 'float16' },
    what: 'float16 weights'
  }
  return recipe.variant === 'dynamic_int8' ? [half] : [dynamic, half]
}

function byQuantizer(recipe: Recipe): Recipe {
  if (recipe.engine === 'litert-quantizer') return recipe
  return { ...recipe, engine: 'litert-quantizer', name: `${recipe.name}-litertq` }
}

/** A regular expression for this tensor alone, also within a list of names joined by semicolons. */
function exactly({ tensor }: LayerError): string {
  return `(^|;)${tensor.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}(;|$)`
}
