import type { Static } from 'typebox'
import { Id, Sha256, Timestamp } from './schema.ts'
import { Type } from './type.ts'

export const Diagnostics = Type.Object({
  id: Id,
  device: Id,
  state: Type.Enum(['gathering', 'ready', 'failed']),
  reason: Type.Optional(Type.String()),
  sha256: Type.Optional(Sha256),
  bytes: Type.Optional(Type.Integer()),
  requestedAt: Timestamp,
  endedAt: Type.Union([Timestamp, Type.Null()])
})
export type Diagnostics = Static<typeof Diagnostics>

/** The answer to `diagnose`: a .tar.gz that was stored as a blob before, or why there is none. */
export const DiagnosticsFrame = Type.Object({
  type: Type.Literal('diagnostics'),
  id: Id,
  blob: Type.Optional(Sha256),
  bytes: Type.Optional(Type.Integer({ minimum: 1 })),
  error: Type.Optional(Type.String({ maxLength: 2000 }))
})
export type DiagnosticsFrame = Static<typeof DiagnosticsFrame>
