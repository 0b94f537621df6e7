import { SkerryError } from '@skerry/contracts'
import type { ApiKeyIdentity, Registry } from '@skerry/registry'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Answers without a key: /healthz, and what proves itself in another way. */
    public?: boolean
    /** Answers to a device's session token as well. */
    devices?: boolean
  }
  interface FastifyRequest {
    identity: ApiKeyIdentity
  }
}

const CACHE_MS = 5_000

/** The secret in `Bearer KEY`, or in the password of `Basic`, so that a browser's own prompt opens /docs. */
function presentedKey(request: FastifyRequest): string | null {
  const [scheme = '', value = ''] = (request.headers.authorization ?? '').split(' ', 2)
  if (scheme.toLowerCase() === 'bearer') return value
  if (scheme.toLowerCase() !== 'basic') return null
  const decoded = Buffer.from(value, 'base64').toString()
  return decoded.slice(decoded.indexOf(':') + 1)
}

/** Keys on everything that does not say otherwise. */
export default fp(
  async (app: FastifyInstance, { registry }: { registry: Registry }) => {
    const cache = new Map<string, { at: number; identity: ApiKeyIdentity | null }>()

    async function identify(key: string): Promise<ApiKeyIdentity | null> {
      const cached = cache.get(key)
      if (cached !== undefined && Date.now() - cached.at < CACHE_MS) return cached.identity
      const identity = await registry.access.findApiKey(key)
      // Wrong keys are not kept: guesses would fill the cache.
      if (identity !== null) cache.set(key, { at: Date.now(), identity })
      return identity
    }

    app.decorateRequest('identity')
    app.addHook('onRequest', async (request) => {
      const config = request.routeOptions.config
      if (config.public === true) return
      const key = presentedKey(request)
      if (key === null || key === '') throw new SkerryError('unauthenticated', 'Send Authorization: Bearer KEY')
      if (config.devices === true && key.startsWith('session_')) {
        const deviceId = await registry.devices.findByHttpToken(key)
        if (deviceId !== null) {
          request.identity = { id: deviceId, name: 'device' }
          return
        }
      }
      const identity = await identify(key)
      if (identity === null) throw new SkerryError('unauthenticated', 'This key is unknown or was revoked')
      request.identity = identity
    })
  },
  { name: 'access', dependencies: ['problems'] }
)
