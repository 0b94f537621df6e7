import type { Static, TSchema } from 'typebox'
import { Type } from './type.ts'

/** Ids, names and small pieces that more than one resource uses. */
export const Name = Type.String({
  pattern: '^[a-z0-9]([a-z0-9._-]{0,62}[a-z0-9])?$',
  description: 'Lower case letters, digits, dots, dashes; at most 64'
})
export const Id = Type.String({ format: 'uuid' })
export const Sha256 = Type.String({ pattern: '^[0-9a-f]{64}$' })
export const Timestamp = Type.String({ format: 'date-time' })
export const Labels = Type.Record(Type.String({ pattern: '^[A-Za-z0-9._/-]{1,64}$' }), Type.String({ maxLength: 256 }))
export type Labels = Static<typeof Labels>

export const Problem = Type.Object({
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  code: Type.String(),
  detail: Type.Optional(Type.String()),
  instance: Type.Optional(Type.String()),
  errors: Type.Optional(Type.Array(Type.Object({ pointer: Type.String(), detail: Type.String() }))),
  earliestFinishMs: Type.Optional(
    Type.Union([Type.Number(), Type.Null()], {
      description:
        'deadline-infeasible: the least deadline that would be taken now; null where no device can do the work'
    })
  ),
  retryAfterMs: Type.Optional(Type.Integer({ description: 'too-many-requests: when to try again' }))
})
export type Problem = Static<typeof Problem>

export const PageQuery = Type.Object({
  limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 1000, default: 100 })),
  pageToken: Type.Optional(Type.String({ maxLength: 512 }))
})
export type PageQuery = Static<typeof PageQuery>

export const Page = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), nextPageToken: Type.Optional(Type.String()) })
