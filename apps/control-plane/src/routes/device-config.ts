import { DeviceConfigPatch, DeviceConfigState } from '@skerry/contracts'
import { DeviceParams } from './devices.ts'
import { type App, problems, type RouteOptions } from './types.ts'

export default async function deviceConfig(app: App, { engine }: RouteOptions): Promise<void> {
  const shared = { tags: ['devices'], params: DeviceParams, response: { 200: DeviceConfigState, ...problems } }

  app.get(
    '/devices/:device/config',
    { schema: { ...shared, summary: 'What was set for a device, and what it made of it' } },
    async (request) => engine.deviceConfigs.get(request.params.device)
  )

  app.patch(
    '/devices/:device/config',
    {
      schema: {
        ...shared,
        summary: 'Sets some of the settings of a device; null takes one back',
        body: DeviceConfigPatch
      }
    },
    async (request) => engine.deviceConfigs.change(request.params.device, request.body)
  )
}
