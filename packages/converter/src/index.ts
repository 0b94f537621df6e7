export { type ArrayData, type ArrayDtype, datatypeOf, type NamedArray } from './array.ts'
export { ConversionError, type ConversionErrorCode, conversionErrorCodes } from './conversion-error.ts'
export { convert } from './convert.ts'
export { converterStamp } from './converter-stamp.ts'
export { ConverterWorker } from './converter-worker.ts'
export { buildExampleModel, type ExampleMetrics, type ExampleModel, type ExampleModelOptions } from './example-model.ts'
export type { GoldenImage } from './golden-images.ts'
export {
  compareGolden,
  decodeGoldenInputs,
  decodeGoldenOutputs,
  GOLDEN_COUNT,
  type GoldenDifference,
  type GoldenInputs,
  type GoldenOutput,
  type GoldenOutputs,
  type GoldenTolerance,
  goldenInput,
  goldenTolerance,
  type KernelKind
} from './goldens.ts'
export { NpzError, type NpzErrorCode, readNpz, writeNpz } from './npz.ts'
export { checkPreprocessing, PREPROCESSING_HELP, PREPROCESSING_PRESETS, parsePreprocessing } from './preprocessing.ts'
export { parseRecipe, RECIPE_HELP } from './recipe.ts'
export { reportHtml, reportJson } from './report/index.ts'
export { compareRuns, manifestOf, type VariantComparison } from './reproducibility.ts'
export { checkSourceFormat, detectSourceFormat } from './source-format.ts'
export {
  decodeTensorBundle,
  encodeTensorBundle,
  type TensorBundle,
  TensorBundleError,
  type TensorBundleErrorCode
} from './tensor-bundle.ts'
export { DEFAULT_TOLERANCES, MINIMUM_PROOF_SAMPLES, toleranceForAll } from './tolerances.ts'
export * from './types.ts'
