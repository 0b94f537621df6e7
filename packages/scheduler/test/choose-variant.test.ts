import type { RuntimeInfo, Variant } from '@skerry/contracts'
import { describe, expect, it } from 'vitest'
import { type ChooseVariantInput, chooseVariant } from '../src/index.ts'

const litert: RuntimeInfo = { name: 'litert', version: '2' }
const wasm: RuntimeInfo = { name: 'tfjs-tflite', version: '0' }

const variant = (name: string, accuracy: number, more: Partial<Variant> = {}): Variant => ({
  variant: name,
  recipe: name,
  state: 'ready',
  sha256: name.padEnd(64, '0'),
  bytes: 1,
  operators: [{ name: 'CONV_2D', version: 1, custom: false }],
  parity: {
    reference: 'keras',
    data: 'uploaded',
    samples: 80,
    outputs: [],
    accuracy: { original: 0.95, variant: accuracy },
    passed: true
  },
  createdAt: '2026-01-01T00:00:00.000Z',
  ...more
})
const choose = (variants: Variant[], more: Partial<ChooseVariantInput> = {}) =>
  chooseVariant({
    variants,
    allowed: [],
    allowUnproven: false,
    runtimes: [litert],
    support: () => null,
    p50Ms: () => undefined,
    failure: () => undefined,
    ...more
  })
const timed = (times: Record<string, number>) => ({ p50Ms: (artifact: string) => times[artifact.replace(/0+$/, '')] })

describe('chooseVariant', () => {
  it('takes the most accurate one, however slow and large it is', () => {
    const choice = choose([variant('a', 0.9), variant('b', 0.95, { bytes: 10_000 })], timed({ a: 1, b: 100 }))
    expect(choice).toMatchObject({ kind: 'chosen', candidate: { variant: 'b' } })
  })

  it('asks for measurements of equally accurate ones, only of those that have none', () => {
    const choice = choose([variant('a', 0.9), variant('b', 0.9), variant('c', 0.8)], timed({ a: 1 }))
    expect(choice).toMatchObject({ kind: 'measure', candidates: [{ variant: 'b' }] })
  })

  it('settles a tie by the p50 measured here, never by size', () => {
    const choice = choose([variant('a', 0.9, { bytes: 1 }), variant('b', 0.9, { bytes: 99 })], timed({ a: 3, b: 2 }))
    expect(choice).toMatchObject({ kind: 'chosen', candidate: { variant: 'b' } })
  })

  it('never takes what was not proven, unless it is allowed to, and then last', () => {
    const unproven = variant('u', 1, { state: 'unproven' })
    expect(choose([unproven])).toMatchObject({ kind: 'ineligible' })
    expect(choose([unproven], { allowUnproven: true })).toMatchObject({ kind: 'chosen', candidate: { variant: 'u' } })
    const beside = choose([unproven, variant('a', 0.5)], { allowUnproven: true })
    expect(beside).toMatchObject({ kind: 'chosen', candidate: { variant: 'a' } })
    for (const state of ['rejected', 'inconclusive', 'failed'] as const)
      expect(choose([variant('x', 1, { state })], { allowUnproven: true })).toMatchObject({ kind: 'ineligible' })
  })

  it('passes over what the runtime cannot run, and says why, for a choice and for none', () => {
    const support: ChooseVariantInput['support'] = (runtime, operators) =>
      runtime.name === 'tfjs-tflite' && operators.some((each) => each.version > 9)
        ? 'no FULLY_CONNECTED version 12'
        : null
    const dynamic = variant('d', 0.99, { operators: [{ name: 'FULLY_CONNECTED', version: 12, custom: false }] })
    const choice = choose([dynamic, variant('a', 0.9)], { runtimes: [wasm], support })
    expect(choice).toMatchObject({
      kind: 'chosen',
      candidate: { variant: 'a' },
      passedOver: [{ variant: 'd', reason: 'no FULLY_CONNECTED version 12' }]
    })
    const none = choose([dynamic], { runtimes: [wasm], support })
    expect(none).toMatchObject({ kind: 'ineligible', reason: 'd: no FULLY_CONNECTED version 12' })
    expect(choose([dynamic], { runtimes: [wasm, litert], support })).toMatchObject({ candidate: { runtime: litert } })
  })

  it('leaves out what failed its benchmark on this device', () => {
    const failure = (artifact: string) => (artifact.startsWith('b') ? 'golden inputs differ' : undefined)
    const choice = choose([variant('a', 0.9), variant('b', 0.95)], { failure })
    expect(choice).toMatchObject({
      candidate: { variant: 'a' },
      passedOver: [{ variant: 'b', reason: 'golden inputs differ' }]
    })
  })
})
