import { Device } from '@skerry/contracts'
import { once } from '../plugins/idempotency.ts'
import { DeviceParams } from './devices.ts'
import { type App, problems, type RouteOptions } from './types.ts'

export default async function deviceKeys(app: App, { engine }: RouteOptions): Promise<void> {
  app.post(
    '/devices/:device/rotate-key',
    {
      schema: {
        tags: ['devices'],
        summary: 'Asks a device to make itself a new key; its keySha256 changes when it has',
        params: DeviceParams,
        response: { 202: Device, ...problems }
      }
    },
    async (request, reply) => {
      const { body } = await once(engine.resources.registry, request, async () => ({
        status: 202,
        body: await engine.deviceKeys.request(request.params.device)
      }))
      return reply.code(202).header('location', `/api/v1/devices/${body.id}`).send(body)
    }
  )
}
