import { RotateKeyAnswer, RotateKeyRequest } from '@skerry/contracts'
import { type App, problems, type RouteOptions } from '../routes/types.ts'
import { ed25519Key } from './ed25519-key.ts'

/** A device brings a new key of its own, proven by the old one: no session and no token is needed. */
export default async function rotateKey(app: App, { engine }: RouteOptions): Promise<void> {
  app.post(
    '/agent/v1/rotate-key',
    {
      config: { public: true },
      schema: { tags: ['agent'], body: RotateKeyRequest, response: { 200: RotateKeyAnswer, ...problems } }
    },
    async ({ body }) => engine.deviceKeys.rotate(body, ed25519Key(body.publicKey))
  )
}
