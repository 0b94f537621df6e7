import type { Static } from 'typebox'
import { Labels } from './schema.ts'
import { Type } from './type.ts'

/** What a variant must do on a device to be chosen there. An absent field asks nothing. */
export const Requirements = Type.Object(
  {
    maxLatencyMs: Type.Optional(
      Type.Number({ minimum: 0.001, description: 'Of one inference on the device: 95 of 100 runs are within it' })
    ),
    minAgreement: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: "Share of decisions that equal the original's" })
    ),
    maxAccuracyDrop: Type.Optional(
      Type.Number({
        minimum: 0,
        maximum: 1,
        description: 'Below the most accurate original among the candidates, on labelled evaluation data'
      })
    ),
    maxMemoryBytes: Type.Optional(
      Type.Integer({ minimum: 1, description: 'Of its runtime process while it runs, as far as that is known' })
    ),
    selector: Type.Optional(Labels)
  },
  { additionalProperties: false }
)
export type Requirements = Static<typeof Requirements>
