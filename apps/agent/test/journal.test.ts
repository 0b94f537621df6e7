import { randomUUID } from 'node:crypto'
import { readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ResultFrame } from '@skerry/contracts'
import { pino } from 'pino'
import { afterEach, describe, expect, it } from 'vitest'
import { Journal } from '../src/journal.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
afterEach(() => fleet.close())

const log = pino({ level: 'silent' })
const bounds = { entries: 100, bytes: 1_000_000 }
const result = (): ResultFrame => ({ type: 'result', jobId: randomUUID(), epoch: 1 })

describe.each([false, true])('the journal (durable: %s)', (durable) => {
  it('gives back frames and bodies after a restart, oldest first', async () => {
    const directory = await fleet.dataDir()
    const journal = await Journal.open(directory, bounds, log)
    const frames = [result(), result(), result()]
    for (const [i, frame] of frames.entries())
      await journal.put(frame, { frame, body: Buffer.alloc(i * 7, i) }, durable)
    const reopened = await Journal.open(directory, bounds, log)
    expect(reopened.refs()).toEqual(frames.map(({ jobId, epoch }) => ({ jobId, epoch })))
    for (const [i, frame] of frames.entries()) {
      const entry = await reopened.read(frame)
      expect(entry?.frame).toEqual(frame)
      expect(Buffer.from(entry?.body ?? [])).toEqual(Buffer.alloc(i * 7, i))
    }
  })

  it('drops the oldest beyond its bounds, and counts it', async () => {
    const journal = await Journal.open(await fleet.dataDir(), { entries: 100, bytes: 3_000 }, log)
    const frames = [result(), result(), result()]
    for (const frame of frames) await journal.put(frame, { frame, body: Buffer.alloc(1_000) }, durable)
    expect(journal.dropped).toBe(1)
    expect(journal.has(frames[0] ?? result())).toBe(false)
    expect(journal.has(frames[2] ?? result())).toBe(true)
  })
})

describe('the journal after a power loss', () => {
  it('removes entries that were cut short or garbled, and keeps the others', async () => {
    const directory = await fleet.dataDir()
    const journal = await Journal.open(directory, bounds, log)
    const [whole, short, garbled] = [result(), result(), result()]
    for (const frame of [whole, short, garbled]) await journal.put(frame, { frame, body: Buffer.alloc(64, 1) }, false)
    await truncate(join(directory, `${short.jobId}-1.json`), 150)
    const path = join(directory, `${garbled.jobId}-1.json`)
    const bytes = await readFile(path)
    bytes.fill(0, bytes.length - 8)
    await writeFile(path, bytes)
    await writeFile(join(directory, 'stray.tmp'), 'x')
    const reopened = await Journal.open(directory, bounds, log)
    expect(reopened.refs().map(({ jobId }) => jobId)).toEqual([whole.jobId])
    expect(await readdir(directory)).toEqual([`${whole.jobId}-1.json`])
  })
})
