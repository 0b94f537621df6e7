import { Explanation, Job, JobQuery, JobRequest, Latency, LatencyQuery, Page, SkerryError } from '@skerry/contracts'
import { Type } from 'typebox'
import { idempotencyKey } from '../plugins/idempotency.ts'
import { type BinaryBody, isBinaryBody, parseBinaryBody } from './binary-body.ts'
import { answerLines } from './job-lines.ts'
import { type App, problems, type RouteOptions } from './types.ts'

export const MAX_JOB_BODY_BYTES = 64 * 1024 ** 2
const Params = Type.Object({ job: Type.String({ maxLength: 64 }) })

export default async function jobs(app: App, { engine }: RouteOptions): Promise<void> {
  const { registry } = engine.resources
  const tags = ['jobs']

  app.addContentTypeParser('application/octet-stream', { parseAs: 'buffer' }, (request, body, done) => {
    try {
      done(null, parseBinaryBody(body as Buffer, request.headers['inference-header-content-length']))
    } catch (error) {
      done(error as Error)
    }
  })
  app.addContentTypeParser(['application/x-ndjson', 'application/ndjson'], (_, payload, done) => done(null, payload))

  app.post(
    '/jobs',
    {
      bodyLimit: MAX_JOB_BODY_BYTES,
      // In the binary form the header is the body that the schema describes.
      preValidation: async (request) => {
        if (isBinaryBody(request.body)) {
          request.binary = request.body
          request.body = request.body.header as JobRequest
        }
      },
      schema: {
        tags,
        summary: 'Queues an inference',
        consumes: ['application/json', 'application/octet-stream'],
        body: JobRequest,
        response: { 202: Job, ...problems }
      }
    },
    async (request, reply) => {
      const job = (request.binary as BinaryBody | undefined)?.attach(request.body) ?? request.body
      const accepted = await engine.submission.answeredInference(job, idempotencyKey(request))
      return reply
        .code(202)
        .header('location', `/api/v1/jobs/${accepted.id}`)
        .send(accepted.job ?? (await engine.jobs.get(accepted.id)))
    }
  )

  app.post(
    '/jobs/batch',
    {
      bodyLimit: Number.MAX_SAFE_INTEGER,
      schema: {
        tags,
        summary: 'Queues inferences: NDJSON in, NDJSON out, one answer a line, in order',
        consumes: ['application/x-ndjson']
      }
    },
    async (request, reply) => {
      const validate = request.compileValidationSchema(JobRequest)
      const body = request.body as AsyncIterable<Uint8Array> | undefined
      if (body === undefined || !(Symbol.asyncIterator in Object(body)))
        throw new SkerryError('media-type-unsupported', 'Send Content-Type: application/x-ndjson, one job a line')
      return reply.type('application/x-ndjson').send(answerLines(body, validate, engine, request.identity.id))
    }
  )

  app.get(
    '/jobs',
    { schema: { tags, querystring: JobQuery, response: { 200: Page(Job), ...problems } } },
    async (request) => engine.jobs.list(request.query)
  )

  app.get(
    '/jobs/:job',
    {
      schema: {
        tags,
        params: Params,
        querystring: Type.Object({ waitMs: Type.Optional(Type.Integer({ minimum: 0, maximum: 60_000 })) }),
        response: { 200: Job, ...problems }
      }
    },
    async (request) => {
      const gone = new AbortController()
      request.raw.once('close', () => gone.abort())
      return engine.jobs.get(request.params.job, request.query.waitMs ?? 0, gone.signal)
    }
  )

  app.get(
    '/jobs/:job/explanation',
    {
      schema: {
        tags,
        summary: 'Why the job is where it is: every device, rejected with its reason or a candidate',
        params: Params,
        response: { 200: Explanation, ...problems }
      }
    },
    async (request) => engine.scheduling.explainJob(await engine.jobs.row(request.params.job))
  )

  app.post(
    '/jobs/:job/cancel',
    { schema: { tags, params: Params, response: { 200: Job, ...problems } } },
    async (request) => {
      const { id, state } = await engine.jobs.get(request.params.job)
      if (!(await engine.cancelJob(id))) throw new SkerryError('job-ended', `Job ${id} has ended: ${state}`)
      return engine.jobs.get(id)
    }
  )

  app.get(
    '/latency',
    { schema: { tags: ['measurements'], querystring: LatencyQuery, response: { 200: Latency, ...problems } } },
    async (request) => {
      if (request.query.model !== undefined) await registry.models.getModel(request.query.model)
      return engine.latency.quantiles(request.query)
    }
  )
}

declare module 'fastify' {
  interface FastifyRequest {
    binary?: unknown
  }
}
