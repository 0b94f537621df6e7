import {
  askedOutputs,
  encodeInferAnswer,
  OpenInferenceError,
  parseInferRequest,
  SkerryError,
  TensorDescription
} from '@skerry/contracts'
import type { Engine } from '@skerry/engine'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { toProblem } from '../plugins/problems.ts'
import { MAX_JOB_BODY_BYTES } from './jobs.ts'
import type { App } from './types.ts'

const DEFAULT_TIMEOUT_MS = 30_000
const MAX_TIMEOUT_MS = 600_000

const Model = Type.Object({ model: Type.String({ maxLength: 200 }), version: Type.Optional(Type.String()) })
const Failure = Type.Object({ error: Type.String() })
const failures = { '4xx': Failure, '5xx': Failure }
const Tensors = Type.Array(TensorDescription)
const Metadata = Type.Object({
  name: Type.String(),
  versions: Type.Array(Type.String()),
  platform: Type.Literal('tensorflow_tflite'),
  inputs: Tensors,
  outputs: Tensors
})
const tags = ['open inference protocol']

/** The Open Inference Protocol V2: synchronous inference on whichever device is done with it first. */
export default async function openInference(
  app: App,
  { engine, version: serverVersion }: { engine: Engine; version: string }
): Promise<void> {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer', bodyLimit: MAX_JOB_BODY_BYTES }, (_, body, done) =>
    done(null, body)
  )
  app.setErrorHandler((error, request, reply) => sendFailure(error, request, reply))

  const live = Type.Object({ live: Type.Boolean() })
  const ready = Type.Object({ name: Type.Optional(Type.String()), ready: Type.Boolean() })

  app.get('/v2/health/live', { config: { public: true }, schema: { tags, response: { 200: live } } }, async () => ({
    live: true
  }))

  app.get(
    '/v2/health/ready',
    { config: { public: true }, schema: { tags, response: { 200: ready, 503: ready } } },
    async (_, reply) => {
      const isReady = engine.cluster.schedulerId !== null
      return reply.code(isReady ? 200 : 503).send({ ready: isReady })
    }
  )

  app.get('/v2', { schema: { tags, summary: 'The server' } }, async () => ({
    name: 'skerry',
    version: serverVersion,
    extensions: ['binary_tensor_data']
  }))

  for (const base of ['/v2/models/:model', '/v2/models/:model/versions/:version']) {
    app.get(
      base,
      {
        schema: {
          tags,
          summary: 'A deployed model and its tensors',
          params: Model,
          response: { 200: Metadata, ...failures }
        }
      },
      async ({ params: { model, version } }) => {
        const serving = await engine.serving.of(model, version)
        const { inputs, outputs } = serving
        return { name: model, versions: [serving.version], platform: 'tensorflow_tflite' as const, inputs, outputs }
      }
    )

    app.get(
      `${base}/ready`,
      { schema: { tags, params: Model, response: { 200: ready, 503: ready, '4xx': Failure } } },
      async ({ params: { model, version } }, reply) => {
        const { deployment } = await engine.serving.of(model, version)
        const isReady = await engine.resources.registry.deployments.isServed(deployment)
        return reply.code(isReady ? 200 : 503).send({ name: model, ready: isReady })
      }
    )

    app.post(
      `${base}/infer`,
      {
        bodyLimit: MAX_JOB_BODY_BYTES,
        schema: {
          tags,
          summary: 'Runs a model now and answers its outputs, in JSON or with the binary tensor extension',
          consumes: ['application/json', 'application/octet-stream'],
          params: Model,
          response: { 200: Type.Unknown(), ...failures }
        }
      },
      async (request, reply) => {
        const { model, version } = request.params
        const asked = readRequest(request)
        const names = (await engine.serving.of(model, version)).outputs.map(({ name }) => name)
        const wanted = askedOutputs(names, asked)
        const answer = await engine.calls.infer(
          {
            model,
            version,
            inputs: asked.inputs,
            timeoutMs: Math.ceil(Math.min(asked.timeoutMs ?? DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS))
          },
          whenLeft(reply)
        )
        const outputs = new Map(answer.outputs.map((output) => [output.name, output]))
        const { headers, parts } = encodeInferAnswer(
          { name: model, version: answer.version, ...(asked.id === undefined ? {} : { id: asked.id }) },
          wanted.map(({ name, binary }) => {
            const output = outputs.get(name)
            if (output === undefined) throw new SkerryError('inference-failed', `The device gave no output ${name}`)
            return { ...output, binary }
          })
        )
        return reply
          .headers({ ...headers, 'skerry-job': answer.id, 'skerry-device': answer.attempt.device })
          .send(parts.length === 1 ? parts[0] : Buffer.concat(parts))
      }
    )
  }
}

function readRequest({ headers, body }: FastifyRequest) {
  const encoding = headers['content-encoding'] ?? 'identity'
  if (encoding !== 'identity')
    throw new SkerryError('media-type-unsupported', `The content-encoding ${encoding} is not offered here`)
  const length = headers['inference-header-content-length']
  return parseInferRequest(body as Buffer, Array.isArray(length) ? length[0] : length)
}

function whenLeft(reply: FastifyReply): AbortSignal {
  const left = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableEnded) left.abort()
  })
  return left.signal
}

/** The protocol's own form of an error; to its clients a request that does not fit the model is a bad one. */
function sendFailure(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const { status, detail, retryAfterMs } =
    error instanceof OpenInferenceError
      ? { status: 400, detail: error.message, retryAfterMs: undefined }
      : toProblem(error)
  if (status >= 500) request.log.warn({ err: error }, 'a synchronous inference failed')
  if (retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(retryAfterMs / 1000)))
  return reply.code(status === 422 ? 400 : status).send({ error: detail })
}
