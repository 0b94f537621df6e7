export { builtinOperators } from './builtin-operators.ts'
export { elementCount, tensorBytes } from './dtype.ts'
export { TfliteFormatError, type TfliteFormatErrorCode, tfliteFormatErrorCodes } from './format-error.ts'
export type {
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
