import type { TSchema, Type as TypeBox } from 'typebox'

/*
 * TypeBox's types over a builder of our own. What a schema is to other code is JSON Schema with two marks that
 * TypeBox's own functions look for; making those takes these lines, while importing TypeBox takes 20 MB of memory,
 * which an agent on a small device has better uses for. A test compares every schema of this package with TypeBox's.
 */

type Options = Record<string, unknown>
type Marks = { '~kind'?: string; '~optional'?: boolean }

function make(kind: string, schema: Options, options: Options = {}): Options {
  return mark({ ...schema, ...options }, { '~kind': kind })
}

function mark(schema: Options, marks: Marks): Options {
  for (const [key, value] of Object.entries(marks)) {
    Object.defineProperty(schema, key, { configurable: true, writable: true, enumerable: false, value })
  }
  return schema
}

function object(properties: Record<string, Marks>, options?: Options): Options {
  const required = Object.keys(properties).filter((name) => properties[name]?.['~optional'] !== true)
  return make('Object', { type: 'object', ...(required.length === 0 ? {} : { required }), properties }, options)
}

function optional(schema: Options & Marks): Options {
  const kind = schema['~kind']
  return mark({ ...schema }, { ...(kind === undefined ? {} : { '~kind': kind }), '~optional': true })
}

function record(key: { pattern?: string }, value: TSchema, options?: Options): Options {
  return make('Record', { type: 'object', patternProperties: { [key.pattern ?? '^.*$']: value } }, options)
}

/** As much of TypeBox's vocabulary as the contracts use. */
type Vocabulary = Pick<
  typeof TypeBox,
  | 'Array'
  | 'Boolean'
  | 'Enum'
  | 'Integer'
  | 'Intersect'
  | 'Literal'
  | 'Null'
  | 'Number'
  | 'Object'
  | 'Optional'
  | 'Partial'
  | 'Record'
  | 'String'
  | 'Union'
  | 'Unknown'
>

export const Type = {
  Array: (items: TSchema, options?: Options) => make('Array', { type: 'array', items }, options),
  Boolean: (options?: Options) => make('Boolean', { type: 'boolean' }, options),
  Enum: (values: readonly unknown[], options?: Options) => make('Enum', { enum: values }, options),
  Integer: (options?: Options) => make('Integer', { type: 'integer' }, options),
  Intersect: (allOf: readonly TSchema[], options?: Options) => make('Intersect', { allOf }, options),
  Literal: (value: unknown, options?: Options) => make('Literal', { type: typeof value, const: value }, options),
  Null: (options?: Options) => make('Null', { type: 'null' }, options),
  Number: (options?: Options) => make('Number', { type: 'number' }, options),
  Object: object,
  Optional: optional,
  Partial: ({ properties }: { properties: Record<string, Options & Marks> }, options?: Options) =>
    object(Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, optional(each)])), options),
  Record: record,
  String: (options?: Options) => make('String', { type: 'string' }, options),
  Union: (anyOf: readonly TSchema[], options?: Options) => make('Union', { anyOf }, options),
  Unknown: (options?: Options) => make('Unknown', {}, options)
} as unknown as Vocabulary
