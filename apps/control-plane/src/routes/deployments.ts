import { Deployment, DeploymentRequest, Name, Page, PageQuery } from '@skerry/contracts'
import { Type } from 'typebox'
import { once } from '../plugins/idempotency.ts'
import { type App, problems, type RouteOptions } from './types.ts'

const Params = Type.Object({ deployment: Name })

export default async function deployments(app: App, { engine }: RouteOptions): Promise<void> {
  const { registry } = engine.resources
  const tags = ['deployments']

  app.post(
    '/deployments',
    {
      schema: {
        tags,
        summary: 'Gives each matching device the most accurate proven variant that it can run',
        body: DeploymentRequest,
        response: { 201: Deployment, ...problems }
      }
    },
    async (request, reply) => {
      const { body } = await once(registry, request, async () => ({
        status: 201,
        body: await engine.createDeployment(request.body)
      }))
      return reply.code(201).header('location', `/api/v1/deployments/${body.name}`).send(body)
    }
  )

  app.get(
    '/deployments',
    { schema: { tags, querystring: PageQuery, response: { 200: Page(Deployment), ...problems } } },
    async (request) => registry.deployments.list(request.query.limit ?? 100, request.query.pageToken)
  )

  app.get(
    '/deployments/:deployment',
    { schema: { tags, params: Params, response: { 200: Deployment, ...problems } } },
    async (request) => registry.deployments.get(request.params.deployment)
  )

  app.delete(
    '/deployments/:deployment',
    {
      schema: {
        tags,
        summary: 'Its jobs end, its devices drop the artifact',
        params: Params,
        response: { 204: Type.Null(), ...problems }
      }
    },
    async (request, reply) => {
      await engine.deleteDeployment(request.params.deployment)
      return reply.code(204).send(null)
    }
  )
}
