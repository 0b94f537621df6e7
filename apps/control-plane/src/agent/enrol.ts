import { EnrolAnswer, EnrolRequest, SkerryError } from '@skerry/contracts'
import { newId } from '@skerry/registry'
import { type App, problems, type RouteOptions } from '../routes/types.ts'
import { ed25519Key } from './ed25519-key.ts'

/** A device that holds a join token brings its own key and gets its id. */
export default async function enrol(app: App, { engine }: RouteOptions): Promise<void> {
  const { registry, log } = engine.resources
  app.post(
    '/agent/v1/enrol',
    {
      config: { public: true },
      schema: { tags: ['agent'], body: EnrolRequest, response: { 201: EnrolAnswer, ...problems } }
    },
    async (request, reply) => {
      const { token, publicKey, capabilities, slots, facts, labels, name } = request.body
      const key = ed25519Key(publicKey)
      const grant = await registry.access.redeemJoinToken(token)
      const allowed = capabilities.filter((capability) => grant.capabilities.includes(capability))
      if (allowed.length === 0)
        throw new SkerryError(
          'forbidden',
          `The token allows ${grant.capabilities.join(', ')}, not ${capabilities.join(', ')}`
        )
      const device = await registry.devices.create({
        name: name ?? `device-${newId().slice(-8)}`,
        publicKey: key,
        labels: { ...labels, ...grant.labels },
        capabilities: allowed,
        slots: {
          infer: allowed.includes('infer') ? slots.infer : 0,
          convert: allowed.includes('convert') ? slots.convert : 0
        },
        facts
      })
      log.info({ device: device.name, capabilities: allowed }, 'device enrolled')
      return reply
        .code(201)
        .send({ deviceId: device.id, name: device.name, controlPlanePublicKey: engine.signer.publicKeyBase64 })
    }
  )
}
