import { JoinToken, JoinTokenRequest } from '@skerry/contracts'
import { idempotencyKey } from '../plugins/idempotency.ts'
import { reachableUrls } from '../reachable-urls.ts'
import { type App, problems, type RouteOptions } from './types.ts'

export default async function joinTokens(
  app: App,
  { engine, publicUrl }: RouteOptions & { publicUrl?: string }
): Promise<void> {
  app.post(
    '/join-tokens',
    {
      schema: {
        tags: ['devices'],
        summary: 'A token with which devices enrol',
        body: JoinTokenRequest,
        response: { 201: JoinToken, ...problems }
      }
    },
    async (request, reply) => {
      // The token is shown once, so a repeated key gets no copy of it: it is kept only as a hash.
      idempotencyKey(request)
      const token = await engine.resources.registry.access.createJoinToken(request.body)
      return reply.code(201).send({ ...token, urls: reachableUrls(app.addresses(), publicUrl) })
    }
  )
}
