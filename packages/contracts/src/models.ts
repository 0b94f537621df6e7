import { type Static, Type } from 'typebox'
import { Name, Sha256, Timestamp } from './schema.ts'
import { TensorDescription } from './tensors.ts'

export const SourceFormat = Type.Enum(['keras', 'h5', 'savedmodel', 'tflite'])
export type SourceFormat = Static<typeof SourceFormat>

export const VariantRecipe = Type.Enum(['float32', 'float16', 'dynamic_int8', 'full_int8', 'int16x8'])
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
  createdAt: Timestamp
})
export type Variant = Static<typeof Variant>

export const DataSet = Type.Object({ blob: Sha256, format: Type.Enum(['npz']) }, { additionalProperties: false })
export type DataSet = Static<typeof DataSet>

export const ConversionRequest = Type.Object(
  {
    variants: Type.Array(VariantRecipe, { minItems: 1, uniqueItems: true }),
    suffix: Type.Optional(
      Type.String({
        pattern: '^[a-z0-9-]{1,24}$',
        description: 'Names the variants RECIPE-SUFFIX, so that two ways of making the same recipe stand side by side'
      })
    ),
    calibration: Type.Optional(DataSet),
    evaluation: Type.Optional(DataSet),
    tolerance: Type.Optional(Tolerance),
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
  goldenOutputs: Type.Optional(Sha256)
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
  warnings: Type.Array(Type.String()),
  timings: Type.Record(Type.String(), Type.Number())
})
export type ConversionResult = Static<typeof ConversionResult>
