import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { RuntimeInfo } from '@skerry/contracts'
import { RuntimeError, type RuntimeName, startRuntime } from '@skerry/runtimes'
import { type Logger, pino } from 'pino'
import { describe, expect, it, onTestFinished } from 'vitest'
import { type RuntimeProbe, StandardBenchmark } from '../src/capacity/standard-benchmark.ts'
import { SystemFiles } from '../src/system/system-files.ts'

type Line = { level: number; runtime?: unknown; absent?: string; msg: string }

const absent = 'the optional package tfjs-tflite-node is not installed'
const missing = (name: RuntimeName): string | null => (name === 'tfjs-tflite-node' ? absent : null)

function logging(): { lines: Line[]; log: Logger } {
  const lines: Line[] = []
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line) as Line) }) }
}

/** On a device that never measured its runtimes, and has no LiteRT. */
async function probeRuntimes(probe: Pick<RuntimeProbe, 'wanted' | 'start'>, log: Logger): Promise<RuntimeInfo[]> {
  const scratch = await mkdtemp(join(tmpdir(), 'skerry-probe-'))
  onTestFinished(() => rm(scratch, { recursive: true }))
  const path = join(scratch, 'runtimes.json')
  const standard = await StandardBenchmark.open({ path, files: new SystemFiles('/'), now: Date.now, log })
  return standard.probe({ library: undefined, version: undefined, threads: 1, missing, ...probe })
}

describe('looking for runtimes', () => {
  it('says once what is absent, at level info, and does not start it', async () => {
    const { lines, log } = logging()
    const started: string[] = []
    const start = (name: RuntimeName) => {
      started.push(name)
      return startRuntime(name, {})
    }
    const found = await probeRuntimes({ wanted: 'auto', start }, log)
    expect(found.map(({ name }) => name)).toEqual(['tfjs-tflite'])
    expect(started).toEqual(['tfjs-tflite'])
    const about = lines.filter(({ runtime }) => runtime === 'tfjs-tflite-node')
    expect(about).toEqual([expect.objectContaining({ level: 30, absent })])
    expect(lines.filter(({ level }) => level > 30)).toEqual([])
  })

  it('tries what was asked for by name, and warns of what is there and does not start', async () => {
    const { lines, log } = logging()
    const start = async () => {
      throw new RuntimeError('runtime-unavailable', 'broken')
    }
    await expect(probeRuntimes({ wanted: 'tfjs-tflite-node', start }, log)).rejects.toThrow(
      /No TFLite runtime starts .*broken/
    )
    expect(lines.map(({ level }) => level)).toEqual([40])
  })
})
