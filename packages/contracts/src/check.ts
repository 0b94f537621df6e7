import type { Static, TSchema } from 'typebox'

type Schema = Readonly<{
  type?: string
  const?: unknown
  enum?: readonly unknown[]
  anyOf?: readonly Schema[]
  allOf?: readonly Schema[]
  required?: readonly string[]
  properties?: Readonly<Record<string, Schema>>
  patternProperties?: Readonly<Record<string, Schema>>
  additionalProperties?: boolean
  minProperties?: number
  items?: Schema
  minItems?: number
  maxItems?: number
  uniqueItems?: boolean
  minimum?: number
  maximum?: number
  minLength?: number
  maxLength?: number
  pattern?: string
  format?: string
}>

/** What a value is not: where (a JSON pointer), and the rule of the schema that it breaks. */
export type Mismatch = { pointer: string; rule: string }

/**
 * Whether a value is what a schema of this package says. It reads the schema anew each time: a few microseconds for an
 * agent's frame, and no memory. What checks thousands of frames a second compiles its schemas with TypeBox instead,
 * which answers the same.
 */
export function isA<T extends TSchema>(schema: T, value: unknown): value is Static<T> {
  return mismatch(schema, value) === null
}

/** The first reason why a value is not what the schema says, null when it is. */
export function mismatch(schema: TSchema, value: unknown): Mismatch | null {
  return differs(schema as Schema, value, '')
}

function differs(schema: Schema, value: unknown, pointer: string): Mismatch | null {
  const wrong = (rule: string): Mismatch => ({ pointer, rule })
  if ('const' in schema && schema.const !== value) return wrong(`is ${JSON.stringify(schema.const)}`)
  if (schema.enum !== undefined && !schema.enum.includes(value)) return wrong(`is one of ${schema.enum.join(', ')}`)
  if (schema.anyOf?.every((each) => differs(each, value, pointer) !== null)) return wrong('is none of what it may be')
  for (const each of schema.allOf ?? []) {
    const found = differs(each, value, pointer)
    if (found !== null) return found
  }
  switch (schema.type) {
    case undefined:
      return null
    case 'null':
      return value === null ? null : wrong('is null')
    case 'boolean':
      return typeof value === 'boolean' ? null : wrong('is a boolean')
    case 'number':
    case 'integer':
      return numberDiffers(schema, value, wrong)
    case 'string':
      return stringDiffers(schema, value, wrong)
    case 'array':
      return arrayDiffers(schema, value, pointer, wrong)
    case 'object':
      return objectDiffers(schema, value, pointer, wrong)
    default:
      throw new Error(`A schema of type ${schema.type} cannot be checked.`)
  }
}

type Wrong = (rule: string) => Mismatch

function numberDiffers({ type, minimum, maximum }: Schema, value: unknown, wrong: Wrong): Mismatch | null {
  if (typeof value !== 'number' || !Number.isFinite(value)) return wrong('is a number')
  if (type === 'integer' && !Number.isInteger(value)) return wrong('is a whole number')
  if (minimum !== undefined && value < minimum) return wrong(`is at least ${minimum}`)
  if (maximum !== undefined && value > maximum) return wrong(`is at most ${maximum}`)
  return null
}

const FORMATS: Readonly<Record<string, RegExp>> = {
  uuid: /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i,
  'date-time':
    /^\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/i
}
const patterns = new Map<string, RegExp>()

function patternOf(source: string): RegExp {
  const pattern = patterns.get(source) ?? new RegExp(source, 'u')
  patterns.set(source, pattern)
  return pattern
}

function stringDiffers(schema: Schema, value: unknown, wrong: Wrong): Mismatch | null {
  const { minLength, maxLength, pattern, format } = schema
  if (typeof value !== 'string') return wrong('is a string')
  if (minLength !== undefined && value.length < minLength) return wrong(`has at least ${minLength} characters`)
  // UTF-16 units are at least as many as characters: counting those is for what is too long by them.
  if (maxLength !== undefined && value.length > maxLength && [...value].length > maxLength) {
    return wrong(`has at most ${maxLength} characters`)
  }
  if (pattern !== undefined && !patternOf(pattern).test(value)) return wrong(`matches ${pattern}`)
  if (format === undefined) return null
  const known = FORMATS[format]
  if (known === undefined) throw new Error(`The format ${format} cannot be checked.`)
  return known.test(value) ? null : wrong(`is a ${format}`)
}

function arrayDiffers(schema: Schema, value: unknown, pointer: string, wrong: Wrong): Mismatch | null {
  const { items, minItems, maxItems, uniqueItems } = schema
  if (!Array.isArray(value)) return wrong('is an array')
  if (minItems !== undefined && value.length < minItems) return wrong(`has at least ${minItems} items`)
  if (maxItems !== undefined && value.length > maxItems) return wrong(`has at most ${maxItems} items`)
  if (uniqueItems === true && new Set(value.map((item) => JSON.stringify(item))).size < value.length) {
    return wrong('has no item twice')
  }
  if (items === undefined) return null
  for (const [index, item] of value.entries()) {
    const found = differs(items, item, `${pointer}/${index}`)
    if (found !== null) return found
  }
  return null
}

function objectDiffers(schema: Schema, value: unknown, pointer: string, wrong: Wrong): Mismatch | null {
  const { required = [], properties = {}, patternProperties = {}, additionalProperties, minProperties } = schema
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return wrong('is an object')
  const missing = required.find((name) => !Object.hasOwn(value, name))
  if (missing !== undefined) return wrong(`has ${missing}`)
  const entries = Object.entries(value)
  if (minProperties !== undefined && entries.length < minProperties)
    return wrong(`has at least ${minProperties} fields`)
  const byPattern = Object.entries(patternProperties)
  for (const [name, field] of entries) {
    const schemas = byPattern.filter(([pattern]) => patternOf(pattern).test(name)).map(([, each]) => each)
    const own = Object.hasOwn(properties, name) ? properties[name] : undefined
    // JSON has no undefined: in memory such a field is one that is not there.
    if (own !== undefined && !(field === undefined && !required.includes(name))) schemas.push(own)
    else if (own === undefined && schemas.length === 0 && additionalProperties === false) return wrong(`has no ${name}`)
    for (const each of schemas) {
      const found = differs(each, field, `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`)
      if (found !== null) return found
    }
  }
  return null
}
