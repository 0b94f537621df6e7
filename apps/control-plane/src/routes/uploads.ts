import { Readable } from 'node:stream'
import { Name, Sha256, SkerryError, SourceFormat, Version } from '@skerry/contracts'
import { Type } from 'typebox'
import { sendBlob } from './send-blob.ts'
import { type App, problems, type RouteOptions } from './types.ts'

export const MAX_SOURCE_BYTES = 16 * 1024 ** 3

/** The hex digest in a Content-Digest header (RFC 9530), when it names SHA-256. */
function contentDigest(header: string | undefined): string | undefined {
  const base64 = header === undefined ? undefined : /sha-256=:([A-Za-z0-9+/=]+):/.exec(header)?.[1]
  if (header !== undefined && base64 === undefined)
    throw new SkerryError('invalid-request', 'Content-Digest has the form sha-256=:BASE64:')
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64').toString('hex')
}

/** A request without a body is an empty upload. */
const bodyOf = (body: unknown): Readable => (body instanceof Readable ? body : Readable.from([]))

/** Everything whose body is a stream of bytes, never held whole in memory. */
export default async function uploads(app: App, { engine }: RouteOptions): Promise<void> {
  const { blobs, registry } = engine.resources
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_, payload, done) => done(null, payload))
  const bodyLimit = MAX_SOURCE_BYTES

  app.put(
    '/models/:model/versions/:version/source',
    {
      bodyLimit,
      schema: {
        tags: ['models'],
        summary: "The model's file, as it is",
        params: Type.Object({ model: Name, version: Name }),
        querystring: Type.Object({ format: SourceFormat }),
        consumes: ['application/octet-stream'],
        response: { 201: Version, ...problems }
      }
    },
    async (request, reply) => {
      const { model, version } = request.params
      const expectedSha256 = contentDigest(request.headers['content-digest'] as string | undefined)
      const options = { maxBytes: MAX_SOURCE_BYTES, ...(expectedSha256 === undefined ? {} : { expectedSha256 }) }
      const { format } = request.query
      return reply.code(201).send(await engine.sources.accept(model, version, format, bodyOf(request.body), options))
    }
  )

  app.put(
    '/blobs/:sha256',
    {
      bodyLimit,
      config: { devices: true },
      schema: {
        tags: ['blobs'],
        summary: 'Stores bytes under their hash',
        params: Type.Object({ sha256: Sha256 }),
        consumes: ['application/octet-stream'],
        response: { 201: Type.Object({ sha256: Sha256, bytes: Type.Integer() }), ...problems }
      }
    },
    async (request, reply) => {
      const expectedSha256 = request.params.sha256
      return reply.code(201).send(await blobs.put(bodyOf(request.body), { expectedSha256, maxBytes: MAX_SOURCE_BYTES }))
    }
  )

  app.get(
    '/blobs/:sha256',
    { config: { devices: true }, schema: { tags: ['blobs'], params: Type.Object({ sha256: Sha256 }) } },
    async (request, reply) => sendBlob(blobs, request.params.sha256, request, reply)
  )

  app.get(
    '/models/:model/versions/:version/variants/:variant/model.tflite',
    { schema: { tags: ['models'], params: Type.Object({ model: Name, version: Name, variant: Name }) } },
    async (request, reply) => {
      const { model, version, variant } = request.params
      const found = await registry.models.variant(model, version, variant)
      if (found.sha256 === undefined)
        throw new SkerryError('blob-unknown', `${variant} was not converted: ${found.reason ?? found.state}`)
      reply.header('content-disposition', `attachment; filename="${model}-${version}-${variant}.tflite"`)
      return sendBlob(blobs, found.sha256, request, reply)
    }
  )

  app.get(
    '/models/:model/versions/:version/variants/:variant/report.:format',
    {
      schema: {
        tags: ['models'],
        summary: 'The report of the conversion that made this variant, for people (html) or programs (json)',
        params: Type.Object({ model: Name, version: Name, variant: Name, format: Type.Enum(['html', 'json']) })
      }
    },
    async (request, reply) => {
      const { model, version, variant, format } = request.params
      const report = (await registry.models.variant(model, version, variant)).details?.report
      if (report === undefined) throw new SkerryError('blob-unknown', `${variant} has no report: convert it again`)
      // A device wrote it: it is shown, and runs nothing.
      reply.header('content-security-policy', "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:")
      const type = format === 'html' ? 'text/html; charset=utf-8' : 'application/json'
      return sendBlob(blobs, report[format], request, reply, type)
    }
  )
}
