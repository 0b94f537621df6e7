export { builtinOperators } from './builtin-operators.ts'
export { elementCount, tensorBytes } from './dtype.ts'
export { estimateModel, type ModelEstimate } from './estimate.ts'
export { TfliteFormatError, type TfliteFormatErrorCode, tfliteFormatErrorCodes } from './format-error.ts'
export { withInputShapes } from './input-shapes.ts'
export {
  readStandardMetadata,
  readTfliteMetadata,
  type StandardMetadata,
  type TensorMetadata
} from './metadata.ts'
export type {
  GraphNode,
  GraphSpec,
  GraphTensor,
  OperatorUse,
  Quantization,
  SignatureSpec,
  SubgraphSpec,
  TensorSpec,
  TfliteDtype,
  TfliteModel
} from './model.ts'
export {
  dequantize,
  isQuantizedDtype,
  QuantizationError,
  type QuantizationErrorCode,
  type QuantizedArray,
  type QuantizedDtype,
  quantize
} from './quantize.ts'
export { readTflite } from './read-tflite.ts'
