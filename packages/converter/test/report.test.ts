import { describe, expect, it } from 'vitest'
import { type ConversionResult, reportHtml, reportJson, type VariantState } from '../src/index.ts'
import { diagnosis } from '../src/report/section-breaks.ts'
import { parityOf, resultOf, variantIn } from './report-result.ts'

const states: VariantState[] = ['ready', 'unproven', 'inconclusive', 'rejected', 'failed']
const everything = resultOf(states.map(variantIn))
const html = reportHtml(everything, { title: 'Faces' })

/** The text that a reader sees, without markup. */
const words = (page: string): string =>
  page
    .replace(/<style>.*?<\/style>/gs, '')
    .replace(/<[^>]*>/g, ' ')
    .replaceAll('&#39;', "'")
    .replace(/\s+/g, ' ')

describe('the HTML report', () => {
  it('is well-formed, by a count of its tags', () => {
    const open: string[] = []
    const alone = new Set(['meta', '!doctype'])
    for (const [, closing, name = '', attributes = ''] of html.matchAll(/<(\/?)([a-z!][a-z0-9]*)([^>]*)>/g)) {
      if (closing === '/') expect(open.pop(), `</${name}>`).toBe(name)
      else if (!attributes.endsWith('/') && !alone.has(name)) open.push(name)
    }
    expect(open).toEqual([])
  })

  it('loads nothing and runs nothing', () => {
    expect(html).not.toMatch(/https?:|\/\/|url\(|@import|<script|<link|<img|<iframe|\son[a-z]+=|javascript:/i)
    expect(html).toContain('default-src &#39;none&#39;;')
  })

  it.each(states)('tells the state %s by a word and by a sign of its own', (state) => {
    const badge = html.match(new RegExp(`<span class="badge state-${state}">(.*?)</svg><span>${state}</span>`))?.[1]
    const others = states.filter((each) => each !== state)
    expect(badge).toBeDefined()
    for (const other of others) {
      const sign = html.match(new RegExp(`<span class="badge state-${other}">(.*?)</svg><span>${other}</span>`))?.[1]
      expect(sign?.replaceAll(other, '')).not.toBe(badge?.replaceAll(state, ''))
    }
    const { reason } = variantIn(state)
    if (reason !== undefined) expect(words(html)).toContain(reason)
  })

  it('shows of each variant what was measured, what can run it and how it was made', () => {
    const text = words(html)
    for (const shown of [
      '621\u00A0kB',
      '20.0\u00A0dB',
      '1.4',
      '58.0\u00A0M',
      '1.16\u00A0MB',
      'cannot run it: it has no CONV_2D version 3',
      'CONV_2D version 3',
      'no such op',
      'Ready instead: one-ready (621\u00A0kB, 1.40\u00A0ms).',
      'SNR \u2265 10 dB; agreement \u2265 95.0\u00A0%',
      'The worst layer kept float: SNR 12.0 dB instead of 3.0 dB.',
      'net/block_3 (CONV_2D) loses most by itself: 12.0\u00A0dB',
      'pixel \u00D7 0.007843137 + \u22121',
      'tfjs-node 4.22.0 differs from it by 2.6e\u22126 at most over 80 samples',
      'no network; other processes were NOT hidden',
      'a'.repeat(64),
      'd'.repeat(64),
      'e'.repeat(64),
      'calibrated on generated data'
    ]) {
      expect(text).toContain(shown.replaceAll('\u00A0', ' '))
    }
    expect(html.match(/<svg viewBox="0 0 \d+ \d+" role="img" aria-label="/g)?.length).toBeGreaterThanOrEqual(
      2 + 5 * 3 + 1
    )
  })

  it('marks what was missed', () => {
    expect(html).toContain('<td class="missed">3.0\u00A0dB')
    expect(html).not.toContain('<td class="missed">20.0\u00A0dB')
    // Labels outweighed it.
    const outweighed = { ...variantIn('ready'), parity: { ...parityOf(3), passed: true } }
    expect(reportHtml(resultOf([outweighed]), { title: 'x' })).not.toContain('<td class="missed">')
  })

  it('has the same bytes for the same result', () => {
    expect(reportHtml(structuredClone(everything), { title: 'Faces' })).toBe(html)
  })

  it('has a target for each of its links, and no name twice', () => {
    const ids = [...html.matchAll(/\sid="([^"]*)"/g)].map(([, id]) => id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const [, target] of html.matchAll(/(?:href="#|aria-labelledby=")([^"]*)"/g)) expect(ids).toContain(target)
  })

  it('shows a result that has almost nothing in it', () => {
    const bare: ConversionResult = {
      source: { sha256: 'a', bytes: 1, format: 'tflite' },
      versions: {},
      inputs: [],
      outputs: [],
      names: { inputs: {}, outputs: {} },
      converter: { name: 'none', version: '0', options: {} },
      variants: [{ variant: 'original', state: 'unproven', reason: 'No original.', runtimes: [] }],
      goldenInputsPath: 'golden-inputs.bin',
      warnings: [],
      timings: {}
    }
    expect(words(reportHtml(bare, { title: 'x' }))).toContain('A ready TFLite file, 1 B. 0 of 1 variant is ready')
    expect(reportHtml({ ...bare, variants: [] }, { title: 'x' })).not.toMatch(/NaN|Infinity|undefined/)
  })

  it('never prints what is no number', () => {
    const odd = variantIn('rejected')
    const picture = {
      name: 'constant',
      reference: { from: 2, to: 2, counts: [9] },
      candidate: { from: 2, to: 2, counts: [9] },
      error: { from: 0, to: 0, counts: [9] },
      pairs: [[2, 2] as [number, number]]
    }
    const empty = { from: 0, to: 0, counts: [] }
    const none = { name: 'empty', reference: empty, candidate: empty, error: empty, pairs: [] }
    const strange = {
      ...odd,
      parity: parityOf(null),
      pictures: [picture, none],
      bytes: 0,
      runtimes: [{ name: 'litert' as const, version: '2', runnable: true, p50Ms: Number.NaN }]
    }
    expect(reportHtml(resultOf([strange]), { title: 'x' })).not.toMatch(/NaN|Infinity|undefined|\[object/)
  })
})

describe('strings of the model in the HTML report', () => {
  const hostile = `<script>alert(1)</script>"' onload='x' <!-- ]]> \u202Egnp.exe`

  // What the code itself chooses among.
  const chosen = new Set(['state', 'format', 'kind', 'outcome', 'data', 'fit'])

  /** The result with a text behind every string in it, also behind the keys of its maps. */
  function poison<T>(value: T, text: string, field = ''): T {
    if (typeof value === 'string') return chosen.has(field) ? value : (`${value}${text}` as T)
    if (Array.isArray(value)) return value.map((each) => poison(each, text, field)) as T
    if (typeof value !== 'object' || value === null) return value
    const isMap = field === 'versions' || field === 'timings' || field === 'map'
    const inside = (key: string) => (field === 'names' ? 'map' : key)
    const entries = Object.entries(value).map(([key, each]) => [
      isMap ? `${key}${text}` : key,
      poison(each, text, inside(key))
    ])
    return Object.fromEntries(entries) as T
  }

  it('are harmless wherever they stand', () => {
    const page = reportHtml(poison(everything, hostile), { title: hostile })
    const harmless = 'x'.repeat(hostile.length)
    const plain = reportHtml(poison(everything, harmless), { title: harmless })
    expect(page).not.toMatch(/<script/i)
    expect(page).not.toContain('<!-- ')
    expect(page).not.toContain('\u202E')
    // As many elements as without: no name became markup, nor left its attribute.
    const elements = (text: string) => text.match(/<[a-z][^>]*>/g)?.map((tag) => tag.split(/[\s>]/)[0])
    const attributes = (text: string) => text.match(/\s[a-z-]+="/g)?.length
    expect(elements(page)).toEqual(elements(plain))
    expect(attributes(page)).toBe(attributes(plain))
    expect(page.match(/&lt;script&gt;/g)?.length).toBeGreaterThan(60)
  })

  it('may be names that objects have anyway', () => {
    const result = { ...everything, inputs: [{ name: 'constructor', datatype: 'FP32' as const, shape: [1] }] }
    expect(words(reportHtml(result, { title: 'x' }))).toContain('constructor constructor FP32')
  })
})

describe('the diagnosis', () => {
  const layer = (operator: string, position: number, snrDb: number, lossDb: number | null) => {
    return { tensor: `t${position}`, operator, position, snrDb, lossDb }
  }

  it('names a layer that loses much by itself, a slow loss, and an input that the calibration does not cover', () => {
    expect(diagnosis([layer('CONV_2D', 1, 2, 20)])).toBe(
      't1 (CONV_2D) loses most by itself: 20.0\u00A0dB; 2.0\u00A0dB are left after it.'.replace(
        ', of which',
        ', of which'
      )
    )
    expect(diagnosis([layer('CONV_2D', 1, 5, 2), layer('ADD', 2, 4, 1)])).toMatch(/^No single layer.*down to 4\.0/)
    expect(diagnosis([layer('INPUT', 0, 0, null)])).toMatch(/^The input itself.*calibration data/)
  })
})

describe('the JSON report', () => {
  it('is the result without the folders of the machine that made it', () => {
    const report = reportJson(everything)
    const text = JSON.stringify(report)
    expect(report).toMatchObject({
      format: 'skerry-conversion-report',
      formatVersion: 1,
      goldenInputsPath: 'golden-inputs.bin'
    })
    expect(text).not.toContain('/somewhere')
    expect(JSON.parse(text).variants).toHaveLength(states.length)
    expect(report.variants[0]?.path).toBe('one-ready.tflite')
    expect(everything.variants[0]?.path).toBe('/somewhere/secret/one-ready.tflite')
  })
})
