import type { Static } from 'typebox'
import { Name, Sha256, Timestamp } from './schema.ts'
import { TensorDescription } from './tensors.ts'
import { Type } from './type.ts'

export const SourceFormat = Type.Enum(['keras', 'h5', 'savedmodel', 'tfjs', 'tflite'])
export type SourceFormat = Static<typeof SourceFormat>

export const VariantRecipe = Type.String({
  pattern:
    '^(float32|float16|dynamic_int8|full_int8(-uint8|-float)?|int16x8)(-pertensor)?(-dynamicbatch)?(-litertq)?$|^original$',
  examples: ['float32', 'full_int8-uint8', 'dynamic_int8-litertq'],
  description:
    'float32, float16, dynamic_int8, full_int8 or int16x8; -uint8 or -float: type of the inputs and outputs of full_int8; ' +
    '-pertensor: one scale per weight tensor; -dynamicbatch: any batch size; -litertq: made by litert-quantizer. ' +
    'A version that came as .tflite has only `original`'
})
export type VariantRecipe = Static<typeof VariantRecipe>

export const VariantState = Type.Enum(['ready', 'unproven', 'inconclusive', 'rejected', 'failed'])
export type VariantState = Static<typeof VariantState>

export const Version = Type.Object({
  model: Name,
  version: Name,
  format: SourceFormat,
  sourceSha256: Sha256,
  sourceBytes: Type.Integer(),
  inputs: Type.Optional(Type.Array(TensorDescription)),
  outputs: Type.Optional(Type.Array(TensorDescription)),
  signatures: Type.Optional(
    Type.Array(
      Type.Object({ key: Type.String(), inputs: Type.Array(Type.String()), outputs: Type.Array(Type.String()) })
    )
  ),
  createdAt: Timestamp
})
export type Version = Static<typeof Version>

export const Model = Type.Object({ name: Name, versions: Type.Array(Version), createdAt: Timestamp })
export type Model = Static<typeof Model>

export const Operator = Type.Object({ name: Type.String(), version: Type.Integer(), custom: Type.Boolean() })
export type Operator = Static<typeof Operator>

export const Tolerance = Type.Object({
  minSnrDb: Type.Optional(Type.Number()),
  maxAbsErrorOfRange: Type.Optional(Type.Number()),
  minAgreement: Type.Optional(Type.Number()),
  maxAccuracyDrop: Type.Optional(Type.Number())
})
export type Tolerance = Static<typeof Tolerance>

/** null stands for an infinite SNR (the outputs are equal) or one that has no meaning (NaN, constant reference). */
export const ParityOutput = Type.Object({
  name: Type.String(),
  snrDb: Type.Union([Type.Number(), Type.Null()]),
  maxAbsError: Type.Union([Type.Number(), Type.Null()]),
  meanAbsError: Type.Union([Type.Number(), Type.Null()]),
  agreement: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
  agreementTop5: Type.Optional(Type.Union([Type.Number(), Type.Null()])),
  tolerance: Tolerance,
  passed: Type.Boolean()
})
export const Parity = Type.Object({
  reference: Type.String(),
  data: Type.Enum(['uploaded', 'generated']),
  samples: Type.Integer(),
  outputs: Type.Array(ParityOutput),
  accuracy: Type.Optional(Type.Object({ original: Type.Number(), variant: Type.Number() })),
  passed: Type.Boolean()
})
export type Parity = Static<typeof Parity>

/** What one TFLite runtime made of a variant on the machine that converted it. */
export const VariantRuntime = Type.Object({
  name: Type.String(),
  version: Type.String(),
  runnable: Type.Boolean(),
  reason: Type.Optional(Type.String()),
  parity: Type.Optional(Parity),
  p50Ms: Type.Optional(Type.Number())
})
export type VariantRuntime = Static<typeof VariantRuntime>

/** A quantized tensor: real = scale * (stored - zeroPoint). */
export const VariantTensor = Type.Object({
  name: Type.String(),
  datatype: Type.String(),
  shape: Type.Array(Type.Integer()),
  quantization: Type.Optional(Type.Object({ scale: Type.Number(), zeroPoint: Type.Integer() }))
})
export type VariantTensor = Static<typeof VariantTensor>

export const NameMap = Type.Object({
  inputs: Type.Record(Type.String(), Type.String()),
  outputs: Type.Record(Type.String(), Type.String())
})
export type NameMap = Static<typeof NameMap>

export const Converter = Type.Object({
  name: Type.String(),
  version: Type.String(),
  options: Type.Record(Type.String(), Type.Unknown())
})
export type Converter = Static<typeof Converter>

const PerChannel = Type.Union([Type.Number(), Type.Array(Type.Number(), { minItems: 1, maxItems: 4 })])

/** From an encoded image to an input tensor: decode, resize, `value = pixel * scale + offset`, pixels 0 to 255. */
export const Preprocessing = Type.Object(
  {
    input: Type.Optional(Type.String({ description: 'Name of the input; default: the only one' })),
    kernel: Type.Enum(['nearest', 'bilinear', 'bicubic', 'lanczos3', 'area']),
    antialias: Type.Optional(Type.Boolean()),
    fit: Type.Enum(['stretch', 'crop', 'pad']),
    colors: Type.Enum(['rgb', 'bgr', 'gray']),
    scale: PerChannel,
    offset: PerChannel,
    layout: Type.Enum(['nhwc', 'nchw'])
  },
  { additionalProperties: false }
)
export type Preprocessing = Static<typeof Preprocessing>

/** One way in which the converter was asked for a variant, in the order in which they were tried. */
export const ConversionAttempt = Type.Object({
  way: Type.String(),
  outcome: Type.Enum(['converted', 'failed']),
  milliseconds: Type.Number(),
  error: Type.Optional(Type.String())
})

/** How far a layer's output inside a variant is from the float32 variant's; null: nothing differs. */
export const LayerError = Type.Object({
  tensor: Type.String(),
  operator: Type.String(),
  snrDb: Type.Union([Type.Number(), Type.Null()]),
  lossDb: Type.Union([Type.Number(), Type.Null()]),
  position: Type.Integer()
})

/** Another way that was tried for a rejected variant, and measured better. */
export const ConversionProposal = Type.Object({
  kind: Type.Enum(['float-layers', 'other-calibration', 'other-recipe']),
  summary: Type.String(),
  recipe: Type.Object({ name: Type.String() }),
  state: VariantState,
  parity: Parity,
  bytes: Type.Integer(),
  p50Ms: Type.Optional(Type.Number())
})

/** The conversion's report, as blobs. */
export const ConversionReport = Type.Object({ html: Sha256, json: Sha256 })
export type ConversionReport = Static<typeof ConversionReport>

/** What one conversion tells of a variant beyond its proof. */
export const VariantDetails = Type.Object({
  attempts: Type.Optional(Type.Array(ConversionAttempt)),
  estimate: Type.Optional(Type.Object({ macs: Type.Number(), peakMemoryBytes: Type.Number() })),
  layerErrors: Type.Optional(Type.Array(LayerError)),
  proposals: Type.Optional(Type.Array(ConversionProposal)),
  options: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  report: Type.Optional(ConversionReport)
})
export type VariantDetails = Static<typeof VariantDetails>

/** What the control plane signs and the agent verifies before it runs an artifact. */
export const Manifest = Type.Object({
  artifact: Sha256,
  bytes: Type.Integer(),
  model: Name,
  version: Name,
  variant: Type.String(),
  recipe: Type.String(),
  state: VariantState,
  sourceSha256: Sha256,
  calibrationSha256: Type.Optional(Sha256),
  evaluationSha256: Type.Optional(Sha256),
  preprocessing: Type.Optional(Preprocessing),
  versions: Type.Optional(Type.Record(Type.String(), Type.String())),
  runtimes: Type.Optional(Type.Array(Type.Object({ name: Type.String(), version: Type.String() }))),
  names: NameMap,
  goldenInputs: Type.Optional(Sha256),
  goldenOutputs: Type.Optional(Sha256),
  converter: Converter,
  createdAt: Timestamp
})
export type Manifest = Static<typeof Manifest>

export const Variant = Type.Object({
  variant: Type.String(),
  recipe: Type.String(),
  state: VariantState,
  reason: Type.Optional(Type.String()),
  sha256: Type.Optional(Sha256),
  bytes: Type.Optional(Type.Integer()),
  inputs: Type.Optional(Type.Array(VariantTensor)),
  outputs: Type.Optional(Type.Array(VariantTensor)),
  operators: Type.Optional(Type.Array(Operator)),
  parity: Type.Optional(Parity),
  runtimes: Type.Optional(Type.Array(VariantRuntime)),
  converter: Type.Optional(Converter),
  manifest: Type.Optional(Manifest),
  signature: Type.Optional(Type.String({ description: 'Ed25519 over the canonical JSON of manifest, base64' })),
  details: Type.Optional(VariantDetails),
  createdAt: Timestamp
})
export type Variant = Static<typeof Variant>

export const DataSet = Type.Object(
  {
    blob: Sha256,
    format: Type.Enum(['npz', 'images'], { description: 'images: a zip, read as `preprocessing` says' })
  },
  { additionalProperties: false }
)
export type DataSet = Static<typeof DataSet>

export const ConversionRequest = Type.Object(
  {
    variants: Type.Optional(
      Type.Array(VariantRecipe, {
        minItems: 1,
        maxItems: 32,
        uniqueItems: true,
        description: 'Default: float32, float16, dynamic_int8, full_int8; of a .tflite source: original'
      })
    ),
    suffix: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9-]{1,24}$',
        description: 'Names the variants RECIPE-SUFFIX, so that two ways of making the same recipe stand side by side'
      })
    ),
    calibration: Type.Optional(DataSet),
    evaluation: Type.Optional(DataSet),
    preprocessing: Type.Optional(Preprocessing),
    labels: Type.Optional(
      Type.Array(Type.String(), { minItems: 1, maxItems: 100_000, description: 'Names of the classes, for the file' })
    ),
    signature: Type.Optional(Type.String({ description: 'Which signature of a SavedModel' })),
    batchSize: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 1, description: 'Variants take one sample; see -dynamicbatch' })
    ),
    tolerance: Type.Optional(Tolerance),
    propose: Type.Optional(
      Type.Boolean({ default: true, description: 'Try what else a rejected quantized variant could be made by' })
    ),
    fresh: Type.Optional(
      Type.Boolean({ default: false, description: 'Convert and prove again what was converted before' })
    ),
    timeLimitMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 6 * 3_600_000, default: 1_800_000 }))
  },
  { additionalProperties: false }
)
export type ConversionRequest = Static<typeof ConversionRequest>

/** What the converting device sends back: blobs are uploaded before, and named here by hash. */
export const ConvertedVariant = Type.Object({
  recipe: VariantRecipe,
  state: VariantState,
  reason: Type.Optional(Type.String()),
  sha256: Type.Optional(Sha256),
  bytes: Type.Optional(Type.Integer()),
  inputs: Type.Optional(Type.Array(VariantTensor)),
  outputs: Type.Optional(Type.Array(VariantTensor)),
  operators: Type.Optional(Type.Array(Operator)),
  parity: Type.Optional(Parity),
  runtimes: Type.Optional(Type.Array(VariantRuntime)),
  goldenOutputs: Type.Optional(Sha256),
  details: Type.Optional(VariantDetails)
})
export type ConvertedVariant = Static<typeof ConvertedVariant>
export const ConversionResult = Type.Object({
  inputs: Type.Array(TensorDescription),
  outputs: Type.Array(TensorDescription),
  names: NameMap,
  converter: Converter,
  reference: Type.Record(Type.String(), Type.Unknown()),
  goldenInputs: Type.Optional(Sha256),
  variants: Type.Array(ConvertedVariant),
  signature: Type.Optional(Type.String()),
  versions: Type.Optional(Type.Record(Type.String(), Type.String())),
  converterStamp: Type.Optional(Type.String()),
  known: Type.Optional(
    Type.Array(Type.String(), { description: 'Variants that the same converter had made and proven before' })
  ),
  warnings: Type.Array(Type.String()),
  timings: Type.Record(Type.String(), Type.Number())
})
export type ConversionResult = Static<typeof ConversionResult>
