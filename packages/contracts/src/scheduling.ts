import type { Static } from 'typebox'
import { Id } from './schema.ts'
import { Type } from './type.ts'

const LabelKey = Type.String({ pattern: '^[A-Za-z0-9._/-]{1,64}$' })
const LabelValue = Type.String({ maxLength: 256 })
const LabelValues = Type.Array(LabelValue, { minItems: 1, maxItems: 64 })

/** By label: its value, or a set that it is in, or that it is not in, or whether the label is there at all. All must hold. */
export const Selector = Type.Record(
  LabelKey,
  Type.Union([
    LabelValue,
    Type.Object({ in: LabelValues }, { additionalProperties: false }),
    Type.Object({ notIn: LabelValues }, { additionalProperties: false }),
    Type.Object({ exists: Type.Boolean() }, { additionalProperties: false })
  ])
)
export type Selector = Static<typeof Selector>

/** Jobs of one model and label are kept apart: no value of the label runs more than `maxSkew` above the least used one. */
export const Spread = Type.Object(
  { label: LabelKey, maxSkew: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000, default: 1 })) },
  { additionalProperties: false }
)
export type Spread = Static<typeof Spread>

export const Tolerations = Type.Array(Type.String({ maxLength: 128 }), {
  maxItems: 64,
  description: "A taint of a device, whole (`key=value:Effect`), by its key, or '*' for all"
})

/** `strict`: refused at once when the prediction says that the deadline will be missed; `best-effort`: tried all the same. */
export const AdmissionMode = Type.Enum(['strict', 'best-effort'])
export type AdmissionMode = Static<typeof AdmissionMode>

/** Why a job is where it is: every device once, rejected or a candidate. */
export const Explanation = Type.Object({
  summary: Type.String(),
  rejected: Type.Array(
    Type.Object({
      filter: Type.String(),
      reason: Type.String(),
      count: Type.Integer(),
      examples: Type.Array(Id, { maxItems: 5 })
    })
  ),
  candidates: Type.Array(
    Type.Object({
      device: Id,
      predictedFinishMs: Type.Number(),
      scores: Type.Record(Type.String(), Type.Number(), {
        description: 'Costs in logarithms of time, before their weights: 0.01 is one per cent more time'
      }),
      chosen: Type.Boolean(),
      measured: Type.Optional(
        Type.Object(
          { runs: Type.Number(), p50Ms: Type.Number(), p95Ms: Type.Number() },
          { description: 'What the last runs of this work took on that very device, from the frame to the result' }
        )
      )
    }),
    { maxItems: 10 }
  ),
  names: Type.Optional(
    Type.Record(Type.String(), Type.String(), { description: 'Of the devices that are mentioned, by their ids' })
  )
})
export type Explanation = Static<typeof Explanation>
