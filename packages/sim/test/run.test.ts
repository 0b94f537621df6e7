import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { POLICY_NAMES, placeSection, runSim } from '../src/index.ts'

let folder: string
let latency: string
let arrivals: string

// The command reads files that no repository need hold: a table and a trace of the same form, from arithmetic.
beforeAll(() => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'skerry-sim-'))
  latency = path.join(folder, 'latency.csv')
  arrivals = path.join(folder, 'arrivals.csv')
  const rows = Array.from({ length: 24 }, (_, i) => {
    const [model, device] = [i % 6, Math.floor(i / 6)]
    return `m${model},,float,d${device},${(2 + 3 * model) * 1.7 ** device * (1 + ((i * 7) % 5) / 10)},NPU`
  })
  fs.writeFileSync(latency, `model,component,precision,device,latency_ms,compute_unit\n${rows.join('\n')}\n`)
  const times = Array.from({ length: 300 }, (_, i) => (Math.floor(i / 20) + (i % 20) * 0.004).toFixed(4))
  fs.writeFileSync(arrivals, `arrival_s\n${times.join('\n')}\n`)
})
afterAll(() => fs.rmSync(folder, { recursive: true }))

function run(...args: string[]): { code: number; lines: string[] } {
  const lines: string[] = []
  const code = runSim(['--latency', latency, '--arrivals', arrivals, '--devices', '12', ...args], (line) =>
    lines.push(line)
  )
  return { code, lines }
}

describe('the command', () => {
  it('ends with one object: the eight policies, the bound and how it is derived, the prediction error', () => {
    const { code, lines } = run('--json', '--seeds', '2')
    expect(code).toBe(0)
    expect(lines).toHaveLength(1)
    const result = JSON.parse(lines[0] as string)
    expect(result.policies.map(({ name }: { name: string }) => name)).toEqual(POLICY_NAMES)
    for (const each of result.policies) {
      expect(each).toMatchObject({ requests: 300, worstModelFailedPercent: expect.any(Number) })
      expect(each.failedPercent).toBeCloseTo(each.missedPercent + each.refusedPercent, 9)
      expect(each.ci95.failedPercent).toBeGreaterThanOrEqual(0)
      expect(each.goodputPercent).toBeLessThanOrEqual(result.bound.goodputPercent + 1)
    }
    expect(result.bound.how).toMatch(/weak duality/)
    expect(result.prediction).toMatchObject({
      seenP90: expect.any(Number),
      unseenP90: expect.any(Number),
      twoWayUnseenP90: expect.any(Number)
    })
  })

  it('writes tables between the marks of a document, and a plot with every policy for each deadline', () => {
    const document = path.join(folder, 'doc.md')
    fs.writeFileSync(document, 'before\n<!-- sim:begin -->\nold\n<!-- sim:end -->\nafter\n')
    const plot = path.join(folder, 'plot.svg')
    const matrix = ['--matrix', '--loads', '0.5,0.9', '--deadlines', '2,5', '--seeds', '2', '--json']
    expect(run(...matrix, '--markdown', document, '--plot', plot).code).toBe(0)
    const text = fs.readFileSync(document, 'utf8')
    expect(text).toMatch(/^before\n<!-- sim:begin -->\n\n\| failed % \(worst model\)/)
    expect(text).not.toContain('old')
    for (const name of POLICY_NAMES) expect(text).toContain(`| ${name} `)
    expect(text.match(/\| 1\.\d{3}x /g)).toHaveLength(4)
    for (const deadline of [2, 5]) {
      const svg = fs.readFileSync(path.join(folder, `plot-${deadline}x.svg`), 'utf8')
      for (const name of POLICY_NAMES) expect(svg).toContain(`>${name}</text>`)
      expect(svg).not.toContain('NaN')
    }
  })

  it('says for people how each policy did, and how far runs were from what was predicted', () => {
    const { lines } = run('--policies', 'late-edf,skerry', '--seeds', '2')
    expect(lines.slice(0, -1).map((line) => line.split(' ')[0])).toEqual(['late-edf', 'skerry'])
    const { policies, prediction } = JSON.parse(lines.at(-1) as string)
    const { goodputPercent, predictionError } = policies[1]
    expect(lines[1]).toContain(` goodput ${goodputPercent.toFixed(2)} %`)
    expect(lines[1]).toContain(` within ${Math.exp(prediction.seenP90).toFixed(3)}x of the prediction`)
    expect(prediction.seenP90).toBe(predictionError.p90)
    expect(predictionError.p50).toBeLessThan(predictionError.p90)
  })

  it('leaves out what looks at every device where there are thousands, and says so', () => {
    const { lines } = run('--json', '--devices', '2500', '--requests', '50')
    expect(JSON.parse(lines[0] as string).leftOut).toEqual([
      'least-loaded',
      'predicted-finish',
      'predicted-finish-refuse'
    ])
  })

  it('refuses arguments by name', () => {
    expect(() => run('--load', 'much')).toThrow(/--load/)
    expect(() => run('--capacity', 'guess')).toThrow(/--capacity/)
    expect(() => run('--policies', 'best')).toThrow(/no policy is called best/)
    expect(() => placeSection('no marks', 'sim', 'x')).toThrow(RangeError)
    expect(runSim([], () => undefined)).toBe(1)
  })
})
