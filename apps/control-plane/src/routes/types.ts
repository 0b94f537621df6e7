import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { Problem } from '@skerry/contracts'
import type { Engine } from '@skerry/engine'
import type {
  FastifyBaseLogger,
  FastifyInstance,
  RawReplyDefaultExpression,
  RawRequestDefaultExpression,
  RawServerDefault
} from 'fastify'

export type App = FastifyInstance<
  RawServerDefault,
  RawRequestDefaultExpression,
  RawReplyDefaultExpression,
  FastifyBaseLogger,
  TypeBoxTypeProvider
>
export type RouteOptions = { engine: Engine }

/** Every route's refusals look alike. */
export const problems = { '4xx': Problem, '5xx': Problem }
