import { Diagnostics, SkerryError } from '@skerry/contracts'
import { Type } from 'typebox'
import { once } from '../plugins/idempotency.ts'
import { DeviceParams } from './devices.ts'
import { sendBlob } from './send-blob.ts'
import { type App, problems, type RouteOptions } from './types.ts'

const Params = Type.Object({ ...DeviceParams.properties, diagnostics: Type.String({ maxLength: 64 }) })
const MAX_WAIT_MS = 60_000

export default async function deviceDiagnostics(app: App, { engine }: RouteOptions): Promise<void> {
  const tags = ['devices']

  app.post(
    '/devices/:device/diagnostics',
    {
      schema: {
        tags,
        summary: 'Asks a device for its recent log, configuration, versions and state',
        params: DeviceParams,
        response: { 202: Diagnostics, ...problems }
      }
    },
    async (request, reply) => {
      const { body } = await once(engine.resources.registry, request, async () => ({
        status: 202,
        body: await engine.deviceDiagnostics.request(request.params.device)
      }))
      return reply.code(202).header('location', `/api/v1/devices/${body.device}/diagnostics/${body.id}`).send(body)
    }
  )

  app.get(
    '/devices/:device/diagnostics/:diagnostics',
    {
      schema: {
        tags,
        params: Params,
        querystring: Type.Object({ waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_WAIT_MS })) }),
        response: { 200: Diagnostics, ...problems }
      }
    },
    async ({ params, query }) => engine.deviceDiagnostics.get(params.device, params.diagnostics, query.waitMs)
  )

  app.get(
    '/devices/:device/diagnostics/:diagnostics/bundle.tar.gz',
    { schema: { tags, summary: 'What the device gathered', params: Params } },
    async (request, reply) => {
      const { device, diagnostics } = request.params
      const { state, sha256, reason } = await engine.deviceDiagnostics.get(device, diagnostics)
      if (sha256 === undefined) throw new SkerryError('blob-unknown', `There is no bundle: ${reason ?? state}`)
      reply.header('content-disposition', `attachment; filename="skerry-${diagnostics}.tar.gz"`)
      return sendBlob(engine.resources.blobs, sha256, request, reply, 'application/gzip')
    }
  )
}
