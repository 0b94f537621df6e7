import { Device, DevicePatch, DeviceQuery, Job, Name, Page } from '@skerry/contracts'
import { Type } from 'typebox'
import { once } from '../plugins/idempotency.ts'
import { type App, problems, type RouteOptions } from './types.ts'

export const DeviceParams = Type.Object({ device: Type.String({ maxLength: 64, description: 'id or name' }) })

export default async function devices(app: App, { engine }: RouteOptions): Promise<void> {
  const { registry } = engine.resources
  const tags = ['devices']

  app.get(
    '/devices',
    { schema: { tags, querystring: DeviceQuery, response: { 200: Page(Device), ...problems } } },
    async (request) => registry.devices.list(request.query)
  )

  app.get(
    '/devices/:device',
    { schema: { tags, params: DeviceParams, response: { 200: Device, ...problems } } },
    async (request) => registry.devices.get(request.params.device)
  )

  app.patch(
    '/devices/:device',
    { schema: { tags, params: DeviceParams, body: DevicePatch, response: { 200: Device, ...problems } } },
    async (request) => {
      const device = await registry.devices.patch(request.params.device, request.body)
      await engine.deviceChanged(device)
      return device
    }
  )

  for (const change of ['cordon', 'uncordon', 'drain', 'revoke'] as const)
    app.post(
      `/devices/:device/${change}`,
      { schema: { tags, params: DeviceParams, response: { 200: Device, ...problems } } },
      async (request) => engine.setDeviceState(request.params.device, change)
    )

  app.post(
    '/devices/:device/benchmark',
    {
      schema: {
        tags,
        summary: 'Times what the device serves, again',
        params: DeviceParams,
        body: Type.Optional(Type.Union([Type.Object({ deployment: Type.Optional(Name) }), Type.Null()])),
        response: { 202: Job, ...problems }
      }
    },
    async (request, reply) => {
      const { body } = await once(registry, request, async () => {
        const { id } = await engine.benchmarkDevice(request.params.device, request.body?.deployment)
        return { status: 202, body: await engine.jobs.get(id) }
      })
      return reply.code(202).header('location', `/api/v1/jobs/${body.id}`).send(body)
    }
  )
}
