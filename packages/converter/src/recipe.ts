import { ConversionError } from './conversion-error.ts'
import { type Recipe, VARIANT_NAMES, type VariantName } from './types.ts'

const parts = /^([a-z0-9_]+?)(-uint8|-float)?(-pertensor)?(-dynamicbatch)?(-litertq)?$/
const quantized: readonly VariantName[] = ['dynamic_int8', 'full_int8', 'int16x8']

export const RECIPE_HELP =
  `VARIANT[-uint8|-float][-pertensor][-dynamicbatch][-litertq], VARIANT one of ${VARIANT_NAMES.join(', ')}; ` +
  '-uint8 and -float: type of the inputs and outputs of full_int8 (default int8); -pertensor: one scale per weight ' +
  'tensor instead of one per channel; -dynamicbatch: any batch size instead of 1; -litertq: made by litert-quantizer ' +
  'from the float32 variant'

/**
 * Reads a recipe's name, such as `full_int8-uint8` or `dynamic_int8-litertq` (RECIPE_HELP).
 *
 * @throws ConversionError `unknown-recipe`, with what names there are.
 */
export function parseRecipe(name: string): Recipe {
  const [, variant, inputs, perTensor, dynamicBatch, quantizer] = parts.exec(name) ?? []
  const known = VARIANT_NAMES.find((each) => each === variant)
  if (known === undefined) throw new ConversionError('unknown-recipe', `${name} is no recipe. ${RECIPE_HELP}.`)
  const refuse = (why: string) => new ConversionError('unknown-recipe', `${name} is no recipe: ${why}.`)
  if (inputs !== undefined && known !== 'full_int8') throw refuse('only full_int8 has a choice of input types')
  if (perTensor !== undefined && !quantized.includes(known)) throw refuse(`${known} has no quantized weights`)
  if (quantizer !== undefined && known === 'float32') throw refuse('litert-quantizer makes quantized variants only')
  if (quantizer !== undefined && known === 'float16') throw refuse('litert-quantizer makes quantized variants only')
  if (quantizer !== undefined && dynamicBatch !== undefined) throw refuse('litert-quantizer is used with a batch of 1')
  const integers = known === 'full_int8' ? 'int8' : 'float32'
  return {
    name,
    variant: known,
    engine: quantizer === undefined ? 'tflite-converter' : 'litert-quantizer',
    inputType: inputs === '-uint8' ? 'uint8' : inputs === '-float' ? 'float32' : integers,
    perChannel: perTensor === undefined,
    batch: dynamicBatch === undefined ? 'fixed' : 'dynamic'
  }
}
