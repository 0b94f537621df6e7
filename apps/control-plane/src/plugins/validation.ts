import { Ajv } from 'ajv'
import addFormats from 'ajv-formats'
import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'

/** The package's types call its CommonJS export a namespace; at run time it is the function itself. */
const withFormats = addFormats as unknown as (ajv: Ajv) => Ajv

/**
 * A path or a query holds only text, so its numbers are read from text. A body is JSON and means what it says: there,
 * `true` is no 1 and "5" is no 5.
 */
export default fp(
  async (app: FastifyInstance) => {
    const text = withFormats(new Ajv({ coerceTypes: 'array', useDefaults: true, allErrors: true, strict: false }))
    const json = withFormats(new Ajv({ useDefaults: true, allErrors: true, strict: false }))
    app.setValidatorCompiler(({ schema, httpPart }) =>
      (httpPart === undefined || httpPart === 'body' ? json : text).compile(schema as object)
    )
  },
  { name: 'validation' }
)
