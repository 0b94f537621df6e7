import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import type { TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { describe, expect, it, vi } from 'vitest'
import * as contracts from '../src/index.ts'

const isSchema = (value: unknown): value is TSchema =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, '~kind')
const schemasOf = (exports: object): [string, TSchema][] =>
  Object.entries(exports).filter((entry): entry is [string, TSchema] => isSchema(entry[1]))

/** With the marks that TypeBox hides from JSON. */
function whole(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(whole)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Reflect.ownKeys(value).map((key) => [String(key), whole((value as Record<PropertyKey, unknown>)[key])])
  )
}

describe('Type', () => {
  it('makes of every contract what TypeBox makes of it, hidden marks included', async () => {
    vi.resetModules()
    vi.doMock('../src/type.ts', async () => ({ Type: (await import('typebox')).Type }))
    const reference = Object.fromEntries(schemasOf(await import('../src/index.ts')))
    vi.doUnmock('../src/type.ts')
    const ours = schemasOf(contracts)
    expect(ours.length).toBeGreaterThan(60)
    for (const [name, schema] of ours) {
      expect(whole(schema), name).toEqual(whole(reference[name]))
      expect(reference[name], name).not.toBe(schema)
    }
  })

  it('is the only builder here: no file imports more than types of TypeBox', () => {
    const folder = new URL('../src/', import.meta.url)
    for (const file of readdirSync(folder)) {
      expect(readFileSync(new URL(file, folder), 'utf8'), file).not.toMatch(/import \{[^}]*\} from 'typebox/)
    }
  })
})

type Json = { [key: string]: unknown }

/** A value that mostly fits: of the schema's shape, now and then of another, with bounds met or just missed. */
function near(schema: TSchema): fc.Arbitrary<unknown> {
  const s = schema as unknown as Json
  const odd = fc.oneof(fc.constant(null), fc.boolean(), fc.integer(), fc.string(), fc.constant([]), fc.constant({}))
  return fc.oneof({ weight: 12, arbitrary: shaped(s) }, { weight: 1, arbitrary: odd })
}

function shaped(s: Json): fc.Arbitrary<unknown> {
  if ('const' in s) return fc.constant(s.const)
  if (Array.isArray(s.enum)) return fc.constantFrom(...(s.enum as unknown[]), 'other')
  if (Array.isArray(s.anyOf)) return fc.oneof(...(s.anyOf as TSchema[]).map(near))
  if (Array.isArray(s.allOf)) {
    return fc.tuple(...(s.allOf as TSchema[]).map(near)).map((parts) => Object.assign({}, ...(parts as object[])))
  }
  switch (s.type) {
    case 'string':
      return fc.oneof(
        fc.string({ maxLength: 8 }),
        fc.uuid(),
        fc.constant('0'.repeat(64)),
        fc.constant('2026-01-02T03:04:05.678Z'),
        fc.integer({ min: 0, max: Math.min(Number(s.maxLength ?? 70), 5_000) + 1 }).map((n) => 'a'.repeat(n))
      )
    case 'number':
      return fc.oneof(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: -2, max: 200 }))
    case 'integer':
      return fc.oneof(fc.integer({ min: -2, max: 2_000 }), fc.constant(0.5))
    case 'boolean':
      return fc.boolean()
    case 'null':
      return fc.constant(null)
    case 'array':
      return fc.array(near(s.items as TSchema), { maxLength: 3 })
    case 'object':
      return objectLike(s)
    default:
      return fc.jsonValue()
  }
}

function objectLike(s: Json): fc.Arbitrary<unknown> {
  const properties = (s.properties ?? {}) as Record<string, TSchema>
  const required = (s.required ?? []) as string[]
  const fields = Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, near(each)]))
  const own = fc.record(fields, { requiredKeys: required })
  const [pattern] = Object.values((s.patternProperties ?? {}) as Record<string, TSchema>)
  const more = fc.dictionary(
    fc.constantFrom('extra', 'a b', 'k'),
    pattern === undefined ? fc.integer() : near(pattern),
    {
      maxKeys: 1
    }
  )
  return fc
    .tuple(own, fc.oneof({ weight: 6, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: more }))
    .map(([left, right]) => ({ ...left, ...right }))
}

describe('isA', () => {
  it.each(schemasOf(contracts))('answers for %s what TypeBox answers', (_name, schema) => {
    const compiled = Compile(schema)
    fc.assert(
      fc.property(near(schema), (value) => {
        expect(contracts.isA(schema, value)).toBe(compiled.Check(value))
      }),
      { numRuns: 60 }
    )
  })

  it('says where a value is wrong and what it should be', () => {
    const { Type, mismatch } = contracts
    const schema = Type.Object({ list: Type.Array(Type.Object({ 'a/b': Type.Integer({ minimum: 2 }) })) })
    expect(mismatch(schema, { list: [{ 'a/b': 2 }, { 'a/b': 1 }] })).toEqual({
      pointer: '/list/1/a~1b',
      rule: 'is at least 2'
    })
    expect(mismatch(schema, { list: [{ 'a/b': 3 }] })).toBeNull()
  })
})
