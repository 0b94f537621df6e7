import type { RuntimeName } from '@skerry/runtimes'
import type { OperatorUse } from '@skerry/tflite'
import type { ConverterWorker } from './converter-worker.ts'

export const VARIANT_NAMES = ['float32', 'float16', 'dynamic_int8', 'full_int8', 'int16x8'] as const
export type VariantName = (typeof VARIANT_NAMES)[number]

/** `tfjs`: a TensorFlow.js layers or graph model, model.json with its weight shards, as a zip, tar or tar.gz archive. */
export type SourceFormat = 'keras' | 'h5' | 'savedmodel' | 'tfjs' | 'tflite'

export type RecipeEngine = 'tflite-converter' | 'litert-quantizer'

/** How one variant is made. Its name is the parts that differ from the default, in this order (recipe.ts). */
export type Recipe = {
  /** Such as `float32`, `full_int8-uint8`, `dynamic_int8-litertq`. */
  name: string
  variant: VariantName
  engine: RecipeEngine
  /** Type of the file's inputs and outputs; only full_int8 has a choice. */
  inputType: 'float32' | 'int8' | 'uint8'
  /** One scale per output channel of a weight; false: one per tensor. */
  perChannel: boolean
  batch: 'fixed' | 'dynamic'
  /** Regular expressions over tensor names: layers with such an output stay float (litert-quantizer). */
  floatLayers?: readonly string[]
}

export type ResizeKernel = 'nearest' | 'bilinear' | 'bicubic' | 'lanczos3' | 'area'

/** From an encoded image to one input tensor: decode, resize, `value = pixel * scale + offset`, pixels 0 to 255. */
export type Preprocessing = {
  /** Name of the input. Default: the only one. */
  input?: string
  kernel: ResizeKernel
  /** Whether the kernel is widened when an image shrinks, as Pillow does and tf.image.resize does not. Default false. */
  antialias?: boolean
  /** `stretch` ignores the aspect ratio; `crop` keeps it and cuts the middle out; `pad` keeps it and fills with 0. */
  fit: 'stretch' | 'crop' | 'pad'
  colors: 'rgb' | 'bgr' | 'gray'
  /** One number, or one per channel. */
  scale: number | readonly number[]
  offset: number | readonly number[]
  layout: 'nhwc' | 'nchw'
}

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
  | 'BYTES'

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
  /** Share of samples whose reference decision is among the variant's five largest; only for more than five classes. */
  agreementTop5?: number | null
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
  /** Recipes' names (parseRecipe). Ignored for `tflite`, which passes through as the variant `original`. */
  variants: readonly string[]
  /** .npz, one array [samples, ...] per input name; or a zip of images, where `preprocessing` is given. */
  calibrationPath?: string
  /**
   * .npz, one array [samples, ...] per input name, and `y` for labels; or a zip of images, whose folders are their
   * labels. Must not hold calibration samples.
   */
  evaluationPath?: string
  preprocessing?: Preprocessing
  /** Names of the classes of the first output, written into each file. */
  labels?: readonly string[]
  /** Which signature of a SavedModel. Default: serving_default, or the only one. */
  signature?: string
  /** Overrides of the defaults (DEFAULT_TOLERANCES), per variant. */
  tolerance?: Partial<Record<VariantName, Tolerance>>
  /** Whether other recipes and calibrations are tried for a rejected quantized variant. Default true. */
  propose?: boolean
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
  /** Warm, and shared between conversions. Default: one of the conversion's own. */
  worker?: ConverterWorker
  /** For the whole conversion, parity included. Default 15 minutes. */
  timeLimitMs?: number
  signal?: AbortSignal
  onProgress?: (progress: ConversionProgress) => void
  /** Lines that TensorFlow and the converter write to stderr. */
  onLog?: (line: string) => void
  /** Milliseconds, for the timings. Default performance.now. */
  now?: () => number
}

/** One way in which the converter was asked for a variant, in the order in which they were tried (docs/conversion.md). */
export type Attempt = {
  way: string
  outcome: 'converted' | 'failed'
  milliseconds: number
  /** The converter's own words. */
  error?: string
}

/** Equal bins from `from` to `to`; the last is closed. */
export type Bins = { from: number; to: number; counts: number[] }

/** What a report draws of one output: the first runtime's answers beside the reference's. */
export type OutputPicture = {
  name: string
  reference: Bins
  candidate: Bins
  /** candidate - reference. */
  error: Bins
  /** At most 500 pairs [reference, candidate], evenly picked. */
  pairs: [number, number][]
}

/** How far a layer's output inside the variant is from the float32 variant's, over the evaluation samples. */
export type LayerError = {
  tensor: string
  /** `INPUT` for a quantized input, where values beyond its scale are cut off. */
  operator: string
  /** Place in the order of execution, inputs first. */
  position: number
  /** Mean-removed, dB. null: nothing differs. */
  snrDb: number | null
  /** Worse than the worst of what it reads, dB: what this layer itself loses. */
  lossDb: number | null
}

/** Another recipe or data that was tried for a rejected variant, and measured better. */
export type Proposal = {
  kind: 'float-layers' | 'other-calibration' | 'other-recipe'
  /** In words that a person can act on. */
  summary: string
  recipe: Recipe
  state: VariantState
  parity: Parity
  bytes: number
  p50Ms?: number
}

export type Estimate = {
  /** Multiply-accumulate operations of one inference. */
  macs: number
  /** Weights plus the largest sum of activations alive at once, bytes; runtimes add their own. */
  peakMemoryBytes: number
}

/** What a variant's file says about itself, read back from it (variant-metadata.ts). */
export type VariantMetadata = {
  /** Of the first output that has any. */
  labels?: string[]
  /** The input is (pixel - mean) / std, pixels 0 to 255; one number, or one per channel. */
  normalization?: { input: string; mean: number[]; std: number[] }
  /** Only in files made here. */
  skerry?: { recipe: string; sourceSha256: string; versions: Record<string, string> }
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
  /** The recipe's name, or `original` for a file that came as .tflite. */
  variant: string
  recipe?: Recipe
  state: VariantState
  /** Always there unless the state is `ready`. */
  reason?: string
  path?: string
  sha256?: string
  bytes?: number
  inputs?: VariantTensor[]
  outputs?: VariantTensor[]
  operators?: Pick<OperatorUse, 'name' | 'version' | 'custom'>[]
  metadata?: VariantMetadata
  /** The worst over the runtimes that can run the file. */
  parity?: Parity
  /** Tensor bundle of this variant's own outputs for the golden inputs (goldens.ts). */
  goldenOutputsPath?: string
  runtimes: VariantRuntimeResult[]
  attempts?: Attempt[]
  estimate?: Estimate
  pictures?: OutputPicture[]
  /** The worst first; only for a rejected quantized variant. */
  layerErrors?: LayerError[]
  proposals?: Proposal[]
  /** What the converter ran with for this variant. */
  converterOptions?: Record<string, unknown>
  converterMs?: number
  /** The converter's own words, where it failed. */
  converterLog?: string
}

/** How the converter's processes were kept from everything else; what the system did not allow is false. */
export type Isolation = {
  /** Namespaces of its own: no network, no view of other processes. */
  namespaces: boolean
  /** Whether it could reach any network; also false where only a filter of system calls keeps it from that. */
  network: boolean
  /** Only its work folder can be written, only what it needs can be read. */
  fileSystem: boolean
  /** Of one process; `processes` counts all of its user's, threads too, and 0 stands for no limit. */
  limits: { memoryBytes: number; fileBytes: number; cpuSeconds: number; processes: number }
}

export type ConversionResult = {
  source: { sha256: string; bytes: number; format: SourceFormat }
  calibrationSha256?: string
  evaluationSha256?: string
  preprocessing?: Preprocessing
  /** The SavedModel's signature that was converted. */
  signature?: string
  /** Python packages that took part, by name. */
  versions: Record<string, string>
  isolation?: Isolation
  /** The original's, in the model's own order. */
  inputs: TensorDescription[]
  outputs: TensorDescription[]
  names: NameMap
  /** Absent for `tflite`: such a file has no original to compare with. */
  reference?: {
    name: 'keras' | 'tensorflow'
    version: string
    /**
     * What a second engine answers on the exported model that the converter reads. Absent where it does not know the
     * types of the model's tensors, which is among the warnings.
     */
    agreement?: { engine: 'tfjs-node'; version: string; maxAbsError: number; samples: number }
  }
  converter: { name: string; version: string; options: Record<string, unknown> }
  variants: VariantResult[]
  /** Tensor bundle, one tensor [8, ...] per input of the original (goldens.ts). */
  goldenInputsPath: string
  warnings: string[]
  /** Milliseconds per step. */
  timings: Record<string, number>
}
