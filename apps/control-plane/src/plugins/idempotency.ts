import { SkerryError } from '@skerry/contracts'
import { requestHash } from '@skerry/engine'
import type { Registry } from '@skerry/registry'
import type { FastifyRequest } from 'fastify'

/** The caller's Idempotency-Key within its own key's room, null when none was sent. */
export function idempotencyKey(request: FastifyRequest): string | null {
  const sent = request.headers['idempotency-key']
  if (sent === undefined) return null
  if (typeof sent !== 'string' || sent.length === 0 || sent.length > 200)
    throw new SkerryError('invalid-request', 'Idempotency-Key is one value of 1 to 200 characters')
  return `${request.identity.id}:${request.method}:${request.routeOptions.url}:${sent}`
}

/** Runs `create` once per key: the same request again gets the first answer, another one is refused. */
export async function once<T>(
  registry: Registry,
  request: FastifyRequest,
  create: () => Promise<{ status: number; body: T }>
): Promise<{ status: number; body: T }> {
  const key = idempotencyKey(request)
  if (key === null) return create()
  const hash = requestHash({ params: request.params, body: request.body })
  const earlier = await registry.idempotency.find(key, hash)
  if (earlier !== null) return earlier as { status: number; body: T }
  const answer = await create()
  await registry.idempotency.store(key, hash, answer)
  return answer
}
