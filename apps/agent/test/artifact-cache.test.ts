import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ArtifactCache } from '../src/artifact-cache.ts'
import { BlobClient, sha256Of } from '../src/blob-client.ts'
import { endpointsOf } from '../src/endpoints.ts'
import { HttpExchange } from '../src/http-exchange.ts'
import type { ControlPlane } from './control-plane.ts'
import { Fleet } from './running-agent.ts'

const fleet = new Fleet()
const never = new AbortController().signal
const blob = randomBytes(3_000_000)
let http: HttpExchange
let controlPlane: ControlPlane
let directory: string

beforeEach(async () => {
  http = new HttpExchange()
  controlPlane = await fleet.controlPlane()
  directory = join(await fleet.dataDir(), 'artifacts')
})
afterEach(async () => {
  http.close()
  await fleet.close()
})

const limits = { maxBytes: 1e9, now: Date.now }

async function openCache(httpToken = controlPlane.issueHttpToken()): Promise<ArtifactCache> {
  const { blob: blobUrl } = endpointsOf(new URL(controlPlane.url))
  const blobs = new BlobClient({ http, blobUrl, httpToken: () => httpToken, random: () => 0 })
  return ArtifactCache.open(directory, blobs, () => 0, limits)
}

describe('the artifact cache', () => {
  it('goes on where a transfer was cut, and fetches no byte twice', async () => {
    const hash = controlPlane.addBlob(blob)
    controlPlane.cuts.set(hash, [{ afterBytes: 1_000_000 }, { afterBytes: 500_000 }])
    const cache = await openCache()
    const path = await cache.fetch(hash, never, blob.byteLength)
    expect(sha256Of(await readFile(path))).toBe(hash)
    const ranges = controlPlane.blobRequests.map(({ range }) => range)
    expect(ranges[0]).toBeUndefined()
    // How much of what was sent before a cut arrives is the network's affair; that the next request goes on is ours.
    const starts = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1]))
    expect(starts).toHaveLength(2)
    expect(starts[0]).toBeGreaterThan(0)
    expect(starts[0]).toBeLessThanOrEqual(1_000_000)
    expect(starts[1]).toBeGreaterThan(starts[0] ?? 0)
    expect(existsSync(`${path}.part`)).toBe(false)
  })

  it('fetches at most 1 % of 10 MB twice over a link that is cut five times', async () => {
    const large = randomBytes(10_000_000)
    const hash = controlPlane.addBlob(large)
    controlPlane.cuts.set(
      hash,
      [1_900_000, 700_001, 2_500_000, 65_536, 3_000_000].map((afterBytes) => ({ afterBytes }))
    )
    const cache = await openCache()
    expect(sha256Of(await readFile(await cache.fetch(hash, never, large.byteLength)))).toBe(hash)
    expect(controlPlane.blobRequests).toHaveLength(6)
    // All that was sent before a cut arrives here, so what was sent beyond the blob's length was sent twice.
    const sentBytes = controlPlane.blobRequests.reduce((sum, { bytes }) => sum + bytes, 0)
    expect(sentBytes - large.byteLength).toBeLessThanOrEqual(100_000)
    for (const { ifRange } of controlPlane.blobRequests.slice(1)) expect(ifRange).toBe(`"${hash}"`)
  })

  it('starts anew when another entity lies at the address by now, as If-Range lets the server say', async () => {
    const hash = controlPlane.addBlob(blob)
    controlPlane.etags.set(hash, '"another"')
    await openCache()
    await writeFile(join(directory, `${hash}.part`), randomBytes(1_000))
    const path = await (await openCache()).fetch(hash, never, blob.byteLength)
    expect(controlPlane.blobRequests).toMatchObject([{ range: 'bytes=1000-', status: 200 }])
    expect(sha256Of(await readFile(path))).toBe(hash)
  })

  it('keeps the order of use over a restart, with no write for a read', async () => {
    const hashes = [1, 2, 3].map((size) => controlPlane.addBlob(randomBytes(size)))
    const [first = '', second = '', third = ''] = hashes
    const before = await openCache()
    for (const hash of hashes) await before.fetch(hash, never)
    const written = (await stat(before.path(first))).mtimeMs
    before.touch([first])
    await before.fetch(second, never)
    expect((await stat(before.path(first))).mtimeMs).toBe(written)
    expect([...before.files()]).toEqual([third, first, second])
    await before.close()
    const after = await openCache()
    expect([...after.files()]).toEqual([third, first, second])
    expect([...after.sizes()]).toEqual([
      [third, 3],
      [first, 1],
      [second, 2]
    ])
  })

  it('keeps the order of use when the clock has gone back', async () => {
    const hashes = [1, 2].map((size) => controlPlane.addBlob(randomBytes(size)))
    const [first = '', second = ''] = hashes
    const before = await openCache()
    for (const hash of hashes) await before.fetch(hash, never)
    await before.close()
    // The disk gives this back as a little less, as it does every other millisecond.
    const times = [1_767_225_600, 1_767_225_600.001]
    for (const [index, time] of times.entries()) await utimes(before.path(hashes[index] ?? ''), time, time)
    const { blob: blobUrl } = endpointsOf(new URL(controlPlane.url))
    const blobs = new BlobClient({ http, blobUrl, httpToken: () => null, random: () => 0 })
    const in1970 = await ArtifactCache.open(directory, blobs, () => 0, { ...limits, now: () => 1_000 })
    in1970.touch([first])
    await in1970.close()
    expect([...(await openCache()).files()]).toEqual([second, first])
  })

  it('goes on with the part that an earlier run left', async () => {
    const hash = controlPlane.addBlob(blob)
    await openCache()
    await writeFile(join(directory, `${hash}.part`), blob.subarray(0, 2_999_999))
    const path = await (await openCache()).fetch(hash, never)
    expect(controlPlane.blobRequests).toMatchObject([{ range: 'bytes=2999999-', status: 206 }])
    expect(sha256Of(await readFile(path))).toBe(hash)
  })

  it('needs no transfer for a part that was whole when the power went', async () => {
    const hash = controlPlane.addBlob(blob)
    await openCache()
    await writeFile(join(directory, `${hash}.part`), blob)
    const path = await (await openCache()).fetch(hash, never)
    expect(controlPlane.blobRequests).toEqual([])
    expect(sha256Of(await readFile(path))).toBe(hash)
  })

  it('starts anew when the part is not a beginning of the blob', async () => {
    const hash = controlPlane.addBlob(blob)
    await openCache()
    await writeFile(join(directory, `${hash}.part`), randomBytes(1_000))
    const path = await (await openCache()).fetch(hash, never, blob.byteLength)
    expect(sha256Of(await readFile(path))).toBe(hash)
  })

  it('starts anew when the part is longer than the blob', async () => {
    const hash = controlPlane.addBlob(blob)
    await openCache()
    await writeFile(join(directory, `${hash}.part`), randomBytes(blob.byteLength + 1))
    const path = await (await openCache()).fetch(hash, never)
    expect(sha256Of(await readFile(path))).toBe(hash)
  })

  it('refuses bytes that have another hash, and keeps nothing of them', async () => {
    const hash = sha256Of(blob)
    controlPlane.blobs.set(hash, randomBytes(blob.byteLength))
    const cache = await openCache()
    await expect(cache.fetch(hash, never)).rejects.toMatchObject({ code: 'digest-mismatch' })
    expect(cache.files().has(hash)).toBe(false)
    expect(existsSync(cache.path(hash))).toBe(false)
  })

  it('stops at more bytes than the manifest says', async () => {
    const hash = controlPlane.addBlob(blob)
    const cache = await openCache()
    await expect(cache.fetch(hash, never, 1_000)).rejects.toMatchObject({ code: 'digest-mismatch' })
    expect(existsSync(cache.path(hash))).toBe(false)
  })

  it('says so when there is no such blob, without asking again', async () => {
    const cache = await openCache()
    await expect(cache.fetch(sha256Of(blob), never)).rejects.toMatchObject({ code: 'blob-unknown', retryable: false })
    expect(controlPlane.blobRequests).toHaveLength(1)
  })

  it('asks again with a token that the control plane no longer knows, and then says that it may work later', async () => {
    const hash = controlPlane.addBlob(blob)
    const cache = await openCache('of-an-ended-session')
    await expect(cache.fetch(hash, never)).rejects.toMatchObject({ code: 'transfer-failed', retryable: true })
    expect(controlPlane.blobRequests.length).toBeGreaterThan(1)
  })

  it('shares one transfer among callers; it ends only when the last of them has gone', async () => {
    const hash = controlPlane.addBlob(blob)
    const cache = await openCache()
    const leaver = new AbortController()
    const left = cache.fetch(hash, leaver.signal)
    const stayed = cache.fetch(hash, never)
    leaver.abort()
    await expect(left).rejects.toMatchObject({ code: 'aborted' })
    expect(sha256Of(await readFile(await stayed))).toBe(hash)
    expect(controlPlane.blobRequests).toHaveLength(1)
  })

  it('knows whole files after a restart, and removes parts that nobody wants', async () => {
    const hash = controlPlane.addBlob(blob)
    const first = await openCache()
    await first.fetch(hash, never)
    const stray = join(directory, `${sha256Of(randomBytes(8))}.part`)
    await writeFile(stray, 'x')
    const second = await openCache()
    expect([...second.files()]).toEqual([hash])
    await second.dropParts(new Set([hash]))
    expect(existsSync(stray)).toBe(false)
    await second.evict(hash)
    expect(existsSync(second.path(hash))).toBe(false)
    expect((await openCache()).files().size).toBe(0)
  })
})
