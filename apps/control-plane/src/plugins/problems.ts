import { BlobError, type BlobErrorCode } from '@skerry/blobs'
import {
  ERRORS,
  type ErrorCode,
  type FieldProblem,
  type Problem,
  type ProblemMembers,
  SkerryError
} from '@skerry/contracts'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'

const BLOB_CODES: Record<BlobErrorCode, ErrorCode> = {
  'blob-hash-invalid': 'invalid-request',
  'blob-hash-mismatch': 'digest-mismatch',
  'blob-too-large': 'body-too-large',
  'blob-unknown': 'blob-unknown',
  'disk-full': 'disk-full',
  'store-unsupported': 'internal'
}

const FASTIFY_CODES: Record<string, ErrorCode> = {
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid-json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid-json',
  FST_ERR_CTP_BODY_TOO_LARGE: 'body-too-large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'media-type-unsupported',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid-request'
}

export function problemOf(
  code: ErrorCode,
  detail: string,
  fields: FieldProblem[] = [],
  members: ProblemMembers = {}
): Problem {
  const { status, title } = ERRORS[code]
  return {
    type: `urn:skerry:problem:${code}`,
    title,
    status,
    code,
    detail,
    ...members,
    ...(fields.length === 0 ? {} : { errors: fields })
  }
}

/** Any error as the problem a caller sees. The text of an error that nobody foresaw stays in the log. */
export function toProblem(error: unknown): Problem {
  if (error instanceof SkerryError) return problemOf(error.code, error.message, error.fields, error.members)
  if (error instanceof BlobError) return problemOf(BLOB_CODES[error.code], error.message)
  const { code, validation, message, statusCode } = error as FastifyError
  if (validation !== undefined) {
    const fields = validation.map((entry) => ({
      pointer: entry.instancePath ?? '',
      detail: entry.message ?? 'does not fit the schema'
    }))
    return problemOf('invalid-request', message, fields)
  }
  const known = FASTIFY_CODES[code ?? '']
  if (known !== undefined) return problemOf(known, message)
  if (statusCode !== undefined && statusCode < 500) return problemOf('invalid-request', message)
  return problemOf('internal', 'Something failed here; the log of the control plane says what')
}

export function sendProblem(reply: FastifyReply, problem: Problem): FastifyReply {
  if (problem.retryAfterMs !== undefined) reply.header('retry-after', String(Math.ceil(problem.retryAfterMs / 1000)))
  return reply
    .code(problem.status)
    .header('content-type', 'application/problem+json; charset=utf-8')
    .serializer((payload: unknown) => JSON.stringify(payload))
    .send(problem)
}

export default fp(
  async (app: FastifyInstance) => {
    app.setErrorHandler((error, request: FastifyRequest, reply) => {
      const problem = toProblem(error)
      if (problem.status >= 500) request.log.error({ err: error }, 'request failed')
      // The rest of a refused upload is not worth reading.
      if (!request.raw.complete) reply.header('connection', 'close')
      if (problem.status === 401) reply.header('www-authenticate', 'Basic realm="skerry", charset="UTF-8"')
      return sendProblem(reply, problem)
    })
    app.setNotFoundHandler((request, reply) =>
      sendProblem(reply, problemOf('route-unknown', `${request.method} ${request.url.split('?')[0]}: see /docs`))
    )
  },
  { name: 'problems' }
)
