import type { Parity } from '@skerry/contracts'
import { describe, expect, it } from 'vitest'
import { exitCodeOf, outcomeText } from '../src/convert/outcome.ts'

const output = (name: string, snrDb: number | null, maxAbsError: number | null): Parity['outputs'][number] => ({
  name,
  snrDb,
  maxAbsError,
  meanAbsError: maxAbsError,
  tolerance: {},
  passed: true
})
const parity = (...outputs: Parity['outputs']): Parity => ({
  reference: 'keras 3',
  data: 'uploaded',
  samples: 64,
  outputs,
  passed: true
})
const cellsOf = (...outputs: Parity['outputs']) =>
  outcomeText([{ variant: 'float32', state: 'ready', parity: parity(...outputs) }], [], 'out').split('\n')[2]

describe('what is said after a conversion', () => {
  it('speaks of the worst output, and calls equal only what is', () => {
    expect(cellsOf(output('a', 90, 1e-6), output('b', 12.34, 0.2))).toMatch(/ready +- +12\.3 dB/)
    expect(cellsOf(output('a', null, 0))).toMatch(/equal/)
    expect(cellsOf(output('a', null, 0), output('b', 50, 0.1))).toMatch(/50\.0 dB/)
    // NaN: no error can be told.
    expect(cellsOf(output('a', null, null))).not.toMatch(/equal|dB/)
    expect(cellsOf(output('a', 90, 1e-6), output('b', null, null))).not.toMatch(/equal|dB/)
  })

  it('gives the reasons and warnings, and fails only where nothing may be used', () => {
    const variants = [
      { variant: 'float32', state: 'unproven', reason: 'send data.' },
      { variant: 'full_int8', state: 'rejected', reason: 'SNR 2 dB.' }
    ]
    const text = outcomeText(variants, ['no labels'], '/out')
    for (const line of ['float32: send data.', 'full_int8: SNR 2 dB.', 'warning: no labels', 'Files are in /out']) {
      expect(text).toContain(line)
    }
    expect(exitCodeOf(variants)).toBe(0)
    expect(exitCodeOf(variants.slice(1))).toBe(1)
  })
})
