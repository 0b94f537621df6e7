import { RuntimeError, type RuntimeName, startRuntime } from '@skerry/runtimes'
import { type Logger, pino } from 'pino'
import { describe, expect, it } from 'vitest'
import { probeRuntimes } from '../src/facts.ts'

type Line = { level: number; runtime?: unknown; absent?: string; msg: string }

const absent = 'the optional package tfjs-tflite-node is not installed'
const missing = (name: RuntimeName): string | null => (name === 'tfjs-tflite-node' ? absent : null)

function logging(): { lines: Line[]; log: Logger } {
  const lines: Line[] = []
  return { lines, log: pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line) as Line) }) }
}

describe('looking for runtimes', () => {
  it('says once what is absent, at level info, and does not start it', async () => {
    const { lines, log } = logging()
    const started: string[] = []
    const start = (name: RuntimeName) => {
      started.push(name)
      return startRuntime(name, {})
    }
    const found = await probeRuntimes({ wanted: 'auto', hasLiteRtLibrary: false, start, missing, log })
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
    const probe = { wanted: 'tfjs-tflite-node', hasLiteRtLibrary: false, start, missing, log } as const
    await expect(probeRuntimes(probe)).rejects.toThrow(/No TFLite runtime starts .*broken/)
    expect(lines.map(({ level }) => level)).toEqual([40])
  })
})
