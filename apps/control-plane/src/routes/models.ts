import { ConversionRequest, Job, Model, Name, Page, PageQuery, Variant, Version } from '@skerry/contracts'
import { Type } from 'typebox'
import { idempotencyKey } from '../plugins/idempotency.ts'
import { type App, problems, type RouteOptions } from './types.ts'

const ModelParams = Type.Object({ model: Name })
const VersionParams = Type.Object({ model: Name, version: Name })

export default async function models(app: App, { engine }: RouteOptions): Promise<void> {
  const { registry } = engine.resources
  const tags = ['models']

  app.get(
    '/models',
    { schema: { tags, querystring: PageQuery, response: { 200: Page(Model), ...problems } } },
    async (request) => registry.models.list(request.query.limit ?? 100, request.query.pageToken)
  )

  app.get(
    '/models/:model',
    { schema: { tags, params: ModelParams, response: { 200: Model, ...problems } } },
    async (request) => registry.models.getModel(request.params.model)
  )

  app.get(
    '/models/:model/versions/:version',
    { schema: { tags, params: VersionParams, response: { 200: Version, ...problems } } },
    async (request) => registry.models.getVersion(request.params.model, request.params.version)
  )

  app.get(
    '/models/:model/versions/:version/variants',
    { schema: { tags, params: VersionParams, response: { 200: Page(Variant), ...problems } } },
    async (request) => {
      const { model, version } = request.params
      await registry.models.getVersion(model, version)
      return { items: await registry.models.variants(model, version) }
    }
  )

  app.post(
    '/models/:model/versions/:version/conversions',
    {
      schema: {
        tags,
        summary: 'Converts to TFLite and compares each variant with the original',
        params: VersionParams,
        body: ConversionRequest,
        response: { 202: Job, ...problems }
      }
    },
    async (request, reply) => {
      const { model, version } = request.params
      const { id } = await engine.conversions.request(model, version, request.body, idempotencyKey(request))
      return reply
        .code(202)
        .header('location', `/api/v1/jobs/${id}`)
        .send(await engine.jobs.get(id))
    }
  )
}
