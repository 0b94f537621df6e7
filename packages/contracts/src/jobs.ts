import type { Static } from 'typebox'
import { AdmissionMode, Selector, Spread, Tolerations } from './scheduling.ts'
import { Id, Name, PageQuery, Timestamp } from './schema.ts'
import { InferenceTensor } from './tensors.ts'
import { Type } from './type.ts'

export const DEFAULT_TTL_MS = 86_400_000
export const MAX_ATTEMPTS = 3
/** Tensors up to this many bytes lie in the job's row; larger ones are blobs. */
export const INLINE_TENSOR_BYTES = 16_384

export const JobKind = Type.Enum(['inference', 'conversion', 'benchmark'])
export type JobKind = Static<typeof JobKind>
export const JobState = Type.Enum(['queued', 'running', 'succeeded', 'failed', 'cancelled', 'expired'])
export type JobState = Static<typeof JobState>

export const JobError = Type.Object({
  code: Type.String(),
  message: Type.String(),
  detail: Type.Optional(Type.String())
})
export type JobError = Static<typeof JobError>

/** Milliseconds; a part that did not happen is absent. */
export const Timings = Type.Object({
  queueMs: Type.Number({ description: 'submission to claim' }),
  dispatchMs: Type.Number({ description: 'claim to the frame leaving the control plane' }),
  transportMs: Type.Number({ description: 'frame sent to result received, less the time on the device' }),
  inferenceMs: Type.Number({ description: "the runtime's own invoke, zero for other kinds" }),
  quantizeMs: Type.Optional(Type.Number()),
  dequantizeMs: Type.Optional(Type.Number()),
  deviceMs: Type.Optional(Type.Number({ description: 'job received to result sent, on the device' }))
})
export type Timings = Static<typeof Timings>

export const Attempt = Type.Object({
  number: Type.Integer(),
  epoch: Type.Integer(),
  device: Id,
  variant: Type.Union([Type.String(), Type.Null()]),
  runtime: Type.Optional(Type.Union([Type.String(), Type.Null()])),
  startedAt: Timestamp,
  endedAt: Type.Union([Timestamp, Type.Null()]),
  timings: Timings,
  error: Type.Optional(JobError)
})
export type Attempt = Static<typeof Attempt>

const submitted = {
  id: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: 200,
      description: "in a batch: the caller's own id; sent again it is the same job"
    })
  ),
  model: Name,
  version: Type.Optional(Name),
  inputs: Type.Array(InferenceTensor, { minItems: 1, maxItems: 64 }),
  deadlineMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 30 * DEFAULT_TTL_MS })),
  ttlMs: Type.Optional(Type.Integer({ minimum: 1, maximum: 30 * DEFAULT_TTL_MS })),
  priority: Type.Optional(Type.Integer({ minimum: 0, maximum: 100, default: 0, description: 'higher goes first' })),
  admission: Type.Optional(AdmissionMode),
  selector: Type.Optional(Selector),
  tolerations: Type.Optional(Tolerations),
  spread: Type.Optional(Spread),
  device: Type.Optional(Id),
  maxAttempts: Type.Optional(Type.Integer({ minimum: 1, maximum: 20, default: MAX_ATTEMPTS }))
}
export const JobRequest = Type.Object(
  { kind: Type.Literal('inference'), ...submitted },
  { additionalProperties: false }
)
export type JobRequest = Static<typeof JobRequest>

export const JobProgress = Type.Object({
  stage: Type.String(),
  percent: Type.Number(),
  message: Type.String(),
  log: Type.Optional(
    Type.Array(Type.String({ maxLength: 500 }), { maxItems: 20, description: 'Its last lines, the oldest first' })
  )
})
export type JobProgress = Static<typeof JobProgress>

export const Job = Type.Object({
  id: Id,
  kind: JobKind,
  state: JobState,
  model: Type.Union([Name, Type.Null()]),
  version: Type.Union([Name, Type.Null()]),
  priority: Type.Integer(),
  attempts: Type.Array(Attempt),
  progress: Type.Optional(JobProgress),
  outputs: Type.Optional(Type.Array(InferenceTensor)),
  result: Type.Optional(Type.Unknown()),
  error: Type.Optional(JobError),
  createdAt: Timestamp,
  expiresAt: Timestamp,
  endedAt: Type.Union([Timestamp, Type.Null()])
})
export type Job = Static<typeof Job>

export const JobQuery = Type.Intersect([
  PageQuery,
  Type.Object({
    state: Type.Optional(JobState),
    kind: Type.Optional(JobKind),
    model: Type.Optional(Name),
    device: Type.Optional(Id)
  })
])
export type JobQuery = Static<typeof JobQuery>

export const LatencyQuery = Type.Object({
  model: Type.Optional(Name),
  variant: Type.Optional(Type.String()),
  device: Type.Optional(Id),
  windowMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 30 * DEFAULT_TTL_MS, default: 3_600_000 }))
})
export type LatencyQuery = Static<typeof LatencyQuery>
const quantile = Type.Union([Type.Number(), Type.Null()])
export const Latency = Type.Object({
  unit: Type.Literal('ms'),
  windowMs: Type.Integer(),
  count: Type.Integer(),
  p50: quantile,
  p90: quantile,
  p95: quantile,
  p99: quantile
})
export type Latency = Static<typeof Latency>
