import type { Static } from 'typebox'
import { Sha256 } from './schema.ts'
import { Type } from './type.ts'

/** Open Inference Protocol datatypes, with the bytes one element takes (BYTES has no fixed size). */
export const DATATYPE_BYTES = {
  BOOL: 1,
  UINT8: 1,
  UINT16: 2,
  UINT32: 4,
  UINT64: 8,
  INT8: 1,
  INT16: 2,
  INT32: 4,
  INT64: 8,
  FP16: 2,
  FP32: 4,
  FP64: 8
} as const
export type Datatype = keyof typeof DATATYPE_BYTES
export const Datatype = Type.Enum(Object.keys(DATATYPE_BYTES) as Datatype[])

/**
 * A model's input or output as callers see it; -1 stands for a dimension that the model leaves open. BYTES are strings,
 * which no runtime here takes: such a model can be converted, not run.
 */
export const TensorDescription = Type.Object({
  name: Type.String(),
  datatype: Type.Union([Datatype, Type.Literal('BYTES')]),
  shape: Type.Array(Type.Integer({ minimum: -1 }))
})
export type TensorDescription = Static<typeof TensorDescription>

/** A tensor in a request or an answer: `data` in row-major order, or `blob` naming its little-endian bytes. */
export const InferenceTensor = Type.Object({
  name: Type.String({ minLength: 1, maxLength: 256 }),
  datatype: Datatype,
  shape: Type.Array(Type.Integer({ minimum: 0 }), { maxItems: 8 }),
  data: Type.Optional(Type.Array(Type.Union([Type.Number(), Type.Boolean()]))),
  blob: Type.Optional(Sha256)
})
export type InferenceTensor = Static<typeof InferenceTensor>

/** A tensor's place in a body of concatenated tensors. */
export const TensorHeader = Type.Object({
  name: Type.String(),
  datatype: Datatype,
  shape: Type.Array(Type.Integer({ minimum: 0 })),
  bytes: Type.Integer({ minimum: 0 })
})
export type TensorHeader = Static<typeof TensorHeader>

export const elementCount = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1)
