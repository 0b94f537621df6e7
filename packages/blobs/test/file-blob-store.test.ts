import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type BlobStore, openBlobStore } from '../src/index.ts'

const NOW_MS = Date.parse('2026-01-02T00:00:00Z')
let directory: string
let store: BlobStore

beforeEach(() => {
  directory = fs.mkdtempSync(path.join(os.tmpdir(), 'skerry blobs-'))
  store = openBlobStore(pathToFileURL(directory).href)
})
afterEach(() => fs.rmSync(directory, { recursive: true, force: true }))

const sha256Of = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

function filesIn(folder: string): string[] {
  const entries = fs.readdirSync(path.join(directory, folder), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

async function* inChunks(bytes: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes)
}

describe('put', () => {
  it('keeps the bytes under their SHA-256', async () => {
    const bytes = randomBytes(300_001)
    const stored = await store.put(inChunks(bytes, 4_096), { expectedSha256: sha256Of(bytes), maxBytes: bytes.length })
    expect(stored).toEqual({ sha256: sha256Of(bytes), bytes: 300_001 })
    expect(await store.stat(stored.sha256)).toEqual({ bytes: 300_001 })
    expect((await buffer(store.read(stored.sha256))).equals(bytes)).toBe(true)
    expect(filesIn('part')).toEqual([])
  })

  it('keeps nothing of content that has another hash than announced', async () => {
    const put = store.put(inChunks(Buffer.from('other'), 2), { expectedSha256: sha256Of(Buffer.from('this')) })
    await expect(put).rejects.toMatchObject({ code: 'blob-hash-mismatch' })
    expect([...filesIn('part'), ...filesIn('sha256')]).toEqual([])
  })

  it('stops reading content that is too large, keeps nothing, and leaves the source open', async () => {
    const source = Readable.from(inChunks(Buffer.alloc(100), 10), { objectMode: false, highWaterMark: 10 })
    await expect(store.put(source, { maxBytes: 25 })).rejects.toMatchObject({ code: 'blob-too-large' })
    expect(source.destroyed).toBe(false)
    expect(source.readableEnded).toBe(false)
    expect([...filesIn('part'), ...filesIn('sha256')]).toEqual([])
  })

  it('takes content of exactly the largest size, and none at all', async () => {
    expect(await store.put(inChunks(Buffer.alloc(25), 10), { maxBytes: 25 })).toMatchObject({ bytes: 25 })
    const empty = await store.put(inChunks(Buffer.alloc(0), 1), { maxBytes: 0 })
    expect((await buffer(store.read(empty.sha256))).length).toBe(0)
  })

  it('keeps nothing of a stream that is cut', async () => {
    async function* cut(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(1_000)
      expect(filesIn('part')).toHaveLength(1)
      throw new Error('connection lost')
    }
    await expect(store.put(cut())).rejects.toThrow('connection lost')
    expect([...filesIn('part'), ...filesIn('sha256')]).toEqual([])
  })

  it('keeps one file when the same content comes many times at once', async () => {
    const bytes = randomBytes(50_000)
    const puts = Array.from({ length: 20 }, (_, i) => store.put(inChunks(bytes, 1_000 + i)))
    expect(new Set((await Promise.all(puts)).map((stored) => stored.sha256))).toEqual(new Set([sha256Of(bytes)]))
    expect(filesIn('sha256')).toHaveLength(1)
    expect(filesIn('part')).toEqual([])
    expect((await buffer(store.read(sha256Of(bytes)))).equals(bytes)).toBe(true)
  })

  it('heals content that the disk has damaged', async () => {
    const bytes = Buffer.from('sound')
    const { sha256 } = await store.put(inChunks(bytes, 5))
    fs.writeFileSync(path.join(directory, 'sha256', sha256.slice(0, 2), sha256.slice(2)), 'rotten')
    await store.put(inChunks(bytes, 5))
    expect((await buffer(store.read(sha256))).toString()).toBe('sound')
  })
})

describe('read', () => {
  it('answers a range with both ends included', async () => {
    const { sha256 } = await store.put(inChunks(Buffer.from('0123456789'), 3))
    expect((await buffer(store.read(sha256, { start: 2, end: 4 }))).toString()).toBe('234')
    expect((await buffer(store.read(sha256, { start: 7 }))).toString()).toBe('789')
  })

  it('fails for content that is not there, and refuses what is not a hash', async () => {
    await expect(buffer(store.read('0'.repeat(64)))).rejects.toMatchObject({ code: 'blob-unknown' })
    expect(() => store.read('../../etc/passwd')).toThrowError(expect.objectContaining({ code: 'blob-hash-invalid' }))
  })
})

it('forgets content that is removed', async () => {
  const { sha256 } = await store.put(inChunks(Buffer.from('gone'), 4))
  expect(await store.remove(sha256)).toBe(true)
  expect(await store.has(sha256)).toBe(false)
  expect(await store.stat(sha256)).toBeNull()
  expect(await store.remove(sha256)).toBe(false)
})

describe('openBlobStore', () => {
  it('removes what killed writers left, and nothing that is being written', async () => {
    const part = path.join(directory, 'part')
    const host = encodeURIComponent(os.hostname())
    const leave = (name: string, mtimeMs: number): void => {
      fs.writeFileSync(path.join(part, name), 'half')
      fs.utimesSync(path.join(part, name), mtimeMs / 1_000, mtimeMs / 1_000)
    }
    leave(`${host}_${process.pid}_earlier_1`, NOW_MS)
    leave(`${host}_999999999_earlier_2`, NOW_MS)
    leave('elsewhere_1_run_3', NOW_MS - 25 * 3_600_000)
    leave('elsewhere_1_run_4', NOW_MS - 23 * 3_600_000)
    leave(`${host}_${process.ppid}_run_5`, NOW_MS)

    async function* reopening(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('first half, ')
      openBlobStore(pathToFileURL(directory).href, NOW_MS)
      yield Buffer.from('second half')
    }
    const { sha256 } = await store.put(reopening())
    expect((await buffer(store.read(sha256))).toString()).toBe('first half, second half')
    expect(filesIn('part').sort()).toEqual([`${host}_${process.ppid}_run_5`, 'elsewhere_1_run_4'].sort())
  })

  it('says which stores there are', () => {
    for (const url of ['s3://bucket', '/srv/blobs', '']) {
      expect(() => openBlobStore(url)).toThrowError(expect.objectContaining({ code: 'store-unsupported' }))
    }
  })
})
