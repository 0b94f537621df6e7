import type { RuntimeName } from '@skerry/runtimes'
import type { OperatorUse } from '@skerry/tflite'

export const VARIANT_NAMES = ['float32', 'float16', 'dynamic_int8', 'full_int8', 'int16x8'] as const
export type VariantName = (typeof VARIANT_NAMES)[number]

export type SourceFormat = 'keras' | 'h5' | 'savedmodel' | 'tflite'

/** Open Inference Protocol datatypes of the tensors that a converted model can have. */
export type Datatype =
  | 'BOOL'
  | 'UINT8'
  | 'UINT16'
  | 'UINT32'
  | 'UINT64'
  | 'INT8'
  | 'INT16'
  | 'INT32'
  | 'INT64'
  | 'FP16'
  | 'FP32'
  | 'FP64'

/** A tensor of the original model; -1 stands for a dimension that the model leaves open (the batch). */
export type TensorDescription = { name: string; datatype: Datatype; shape: number[] }

/** A tensor of a .tflite file, by its signature's name: real = scale * (stored - zeroPoint). */
export type VariantTensor = {
  name: string
  datatype: string
  shape: number[]
  quantization?: { scale: number; zeroPoint: number }
}

/** From the original model's names to the names in the .tflite file's signature. */
export type NameMap = { inputs: Record<string, string>; outputs: Record<string, string> }

/**
 * What a variant must keep of the original. A measure without a value here does not gate.
 *
 * - `minSnrDb`: mean-removed signal-to-noise ratio per output, dB.
 * - `maxAbsErrorOfRange`: largest absolute error as a share of the reference's range (maximum - minimum).
 * - `minAgreement`: share of decisions that stay the same, 0 to 1.
 * - `maxAccuracyDrop`: accuracy of the original minus the variant's, 0 to 1, where labels are known.
 */
export type Tolerance = {
  minSnrDb?: number
  maxAbsErrorOfRange?: number
  minAgreement?: number
  maxAccuracyDrop?: number
}

/** null stands for an infinite SNR (equal outputs) or a measure that has no meaning (NaN, constant reference). */
export type ParityOutput = {
  name: string
  snrDb: number | null
  maxAbsError: number | null
  meanAbsError: number | null
  agreement?: number | null
  tolerance: Tolerance
  passed: boolean
}

export type Parity = {
  reference: string
  data: 'uploaded' | 'generated'
  samples: number
  outputs: ParityOutput[]
  accuracy?: { original: number; variant: number }
  passed: boolean
}

export type ConversionRequest = {
  sourcePath: string
  format: SourceFormat
  /** Ignored for `tflite`, which passes through as the variant `original`. */
  variants: readonly VariantName[]
  /** .npz, one array [samples, ...] per input name. */
  calibrationPath?: string
  /** .npz, one array [samples, ...] per input name, and `y` for labels. Must not hold calibration samples. */
  evaluationPath?: string
  /** Overrides of the defaults (DEFAULT_TOLERANCES), per variant. */
  tolerance?: Partial<Record<VariantName, Tolerance>>
  /** Absent or empty; the results stay in it, and after a failure it is as it was. */
  workDir: string
}

export type ConversionProgress = { stage: string; percent: number; message: string }

export type ConversionDeps = {
  /** Python executable of an environment with TensorFlow. */
  python: string
  liteRtLibrary?: string
  liteRtVersion?: string
  /** Where each variant is compared with the original; one that cannot be started is reported as not runnable. */
  runtimes: readonly RuntimeName[]
  /** For the whole conversion, parity included. Default 15 minutes. */
  timeLimitMs?: number
  signal?: AbortSignal
  onProgress?: (progress: ConversionProgress) => void
  /** Lines that TensorFlow and the converter write to stderr. */
  onLog?: (line: string) => void
  /** Milliseconds, for the timings. Default performance.now. */
  now?: () => number
}

export type VariantState = 'ready' | 'unproven' | 'inconclusive' | 'rejected' | 'failed'

export type VariantRuntimeResult = {
  name: RuntimeName
  version: string
  runnable: boolean
  /** Why it cannot run the file, or what failed. */
  reason?: string
  parity?: Parity
  /**
   * Median inference time over the compared samples, the first tenth (at most 10) left out; 1 thread. An indication: the
   * next variant may be made at the same time.
   */
  p50Ms?: number
}

export type VariantResult = {
  variant: VariantName | 'original'
  state: VariantState
  /** Always there unless the state is `ready`. */
  reason?: string
  path?: string
  sha256?: string
  bytes?: number
  inputs?: VariantTensor[]
  outputs?: VariantTensor[]
  operators?: Pick<OperatorUse, 'name' | 'version' | 'custom'>[]
  /** The worst over the runtimes that can run the file. */
  parity?: Parity
  /** Tensor bundle of this variant's own outputs for the golden inputs (goldens.ts). */
  goldenOutputsPath?: string
  runtimes: VariantRuntimeResult[]
  /** What the converter ran with for this variant. */
  converterOptions?: Record<string, unknown>
  converterMs?: number
  /** The converter's own words, where it failed. */
  converterLog?: string
}

export type ConversionResult = {
  /** The original's, in the model's own order. */
  inputs: TensorDescription[]
  outputs: TensorDescription[]
  names: NameMap
  /** Absent for `tflite`: such a file has no original to compare with. */
  reference?: {
    name: 'keras' | 'tensorflow'
    version: string
    /** What a second engine answers on the exported model that the converter reads. */
    agreement: { engine: 'tfjs-node'; version: string; maxAbsError: number; samples: number }
  }
  converter: { name: string; version: string; options: Record<string, unknown> }
  variants: VariantResult[]
  /** Tensor bundle, one tensor [8, ...] per input of the original (goldens.ts). */
  goldenInputsPath: string
  warnings: string[]
  /** Milliseconds per step. */
  timings: Record<string, number>
}
