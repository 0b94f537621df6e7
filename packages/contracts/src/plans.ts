import type { Static } from 'typebox'
import { DeviceState } from './devices.ts'
import { Requirements } from './requirements.ts'
import { Id, Name, Sha256 } from './schema.ts'
import { Type } from './type.ts'

/** Devices that one plan looks at; of more, those of the lowest ids. */
export const MAX_PLANNED_DEVICES = 10_000

export const PlanRequest = Type.Object(
  {
    candidates: Type.Array(Type.Object({ model: Name, version: Name }, { additionalProperties: false }), {
      minItems: 1,
      maxItems: 16,
      description: 'For example the widths and resolutions of a family, the preferred one first'
    }),
    requirements: Type.Optional(Requirements)
  },
  { additionalProperties: false }
)
export type PlanRequest = Static<typeof PlanRequest>

/** Milliseconds of one inference on the device. */
export const PredictedLatency = Type.Object({
  p50Ms: Type.Number(),
  p90Ms: Type.Number(),
  p95Ms: Type.Number(),
  p99Ms: Type.Number(),
  source: Type.Enum(['measured', 'predicted'], {
    description:
      'measured: this artifact with this runtime ran on this device; predicted: from other devices and artifacts'
  })
})
export type PredictedLatency = Static<typeof PredictedLatency>

export const PredictedMemory = Type.Object({
  bytes: Type.Integer(),
  source: Type.Enum(['measured', 'predicted', 'estimated'], {
    description:
      'measured: peak of the runtime process here; predicted: from such processes elsewhere; ' +
      'estimated: weights and activations from the file alone, without what the runtime itself takes'
  })
})
export type PredictedMemory = Static<typeof PredictedMemory>

/** What keeps a variant, or with no variant named anything at all, off a device. */
export const PlanFilter = Type.Enum([
  'capability',
  'runtime',
  'variants',
  'operators',
  'conversion',
  'benchmark',
  'agreement',
  'accuracy',
  'memory',
  'latency'
])
export type PlanFilter = Static<typeof PlanFilter>

export const PlanReason = Type.Object({
  filter: PlanFilter,
  reason: Type.String(),
  model: Type.Optional(Name),
  version: Type.Optional(Name),
  variant: Type.Optional(Type.String())
})
export type PlanReason = Static<typeof PlanReason>

export const PlannedDevice = Type.Object({
  device: Id,
  deviceName: Type.String(),
  state: DeviceState,
  model: Type.Union([Name, Type.Null()]),
  version: Type.Union([Name, Type.Null()]),
  variant: Type.Union([Type.String(), Type.Null()]),
  runtime: Type.Union([Type.String(), Type.Null()]),
  artifact: Type.Union([Sha256, Type.Null()]),
  latency: Type.Union([PredictedLatency, Type.Null()], { description: 'Null also where nothing tells it yet' }),
  memory: Type.Union([PredictedMemory, Type.Null()]),
  accuracy: Type.Union([Type.Number(), Type.Null()]),
  agreement: Type.Union([Type.Number(), Type.Null()]),
  reasons: Type.Array(PlanReason, {
    description:
      'Without a choice: why not, a reason a variant; with one: why no more accurate variant. The most accurate first, at most eight'
  })
})
export type PlannedDevice = Static<typeof PlannedDevice>

export const Plan = Type.Object({
  summary: Type.String({ description: 'How many devices get what, and what stands in the way of the rest' }),
  comparedBy: Type.Enum(['accuracy', 'order', 'agreement'], {
    description:
      "How variants were ranked. accuracy: on labelled evaluation data, over all candidates; order: the candidates' order, " +
      'since some have no labels; agreement: of the only candidate, which has no labels'
  }),
  matched: Type.Integer({ description: 'Devices that the selector takes; `devices` holds at most 10,000 of them' }),
  devices: Type.Array(PlannedDevice)
})
export type Plan = Static<typeof Plan>
