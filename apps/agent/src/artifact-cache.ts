import { createHash } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir, rename, rm, stat, statfs, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { hashFile } from '@skerry/runtimes'
import { AgentError, wordsOf } from './agent-error.ts'
import type { OnPoint } from './agent-point.ts'
import { syncDirectory } from './atomic-file.ts'
import { Backoff } from './backoff.ts'
import { type BlobClient, waitOrAbort } from './blob-client.ts'
import { arrivals } from './http-exchange.ts'

/** Attempts in a row that bring no new byte, before the caller hears of it. */
const FRUITLESS_ATTEMPTS = 6
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 8_000
/** How often the order of use is written down while the agent runs. */
const SAVE_ORDER_MS = 3_600_000
/** Of what the disk has for models and what they take of it already: the rest is for everybody else. */
const SHARE_OF_DISK = 0.5

export type CacheLimits = {
  /** What the files may take together; less on a disk that has not twice as much. */
  maxBytes: number
  /** Milliseconds since the epoch. */
  now: () => number
}

type CachedFile = { bytes: number; usedMs: number }

type Download = { promise: Promise<string>; controller: AbortController; waiting: number }

/**
 * Files under their own sha256. A download grows in `<sha256>.part`, goes on where it was cut, and takes its name only
 * once its hash is right and its bytes are on the disk: a file that has its name is whole.
 *
 * Files that nothing needs stay while there is room, so that what was deployed before comes back without a transfer;
 * the planner, which knows what is needed, evicts the least recently used. The order of use is kept in memory and told
 * by the files' times, which are written when it changed, at most every hour and at the end: a read costs no write.
 */
export class ArtifactCache {
  readonly #directory: string
  readonly #blobs: BlobClient
  readonly #random: () => number
  readonly #now: () => number
  readonly #onPoint: OnPoint
  readonly #maxBytes: number
  /** The least recently used first. */
  readonly #whole = new Map<string, CachedFile>()
  readonly #downloads = new Map<string, Download>()
  #savedAtMs: number
  #saving: Promise<void> = Promise.resolve()
  #diskIsFull = false

  private constructor(
    directory: string,
    blobs: BlobClient,
    random: () => number,
    { maxBytes, now }: CacheLimits,
    onPoint: OnPoint
  ) {
    this.#directory = directory
    this.#blobs = blobs
    this.#random = random
    this.#now = now
    this.#onPoint = onPoint
    this.#maxBytes = maxBytes
    this.#savedAtMs = now()
  }

  static async open(
    directory: string,
    blobs: BlobClient,
    random: () => number,
    limits: CacheLimits,
    onPoint: OnPoint = () => undefined
  ): Promise<ArtifactCache> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const found: [string, CachedFile][] = []
    for (const name of await readdir(directory)) {
      if (!/^[0-9a-f]{64}$/.test(name)) continue
      const { size, mtimeMs } = await stat(join(directory, name))
      found.push([name, { bytes: size, usedMs: mtimeMs }])
    }
    found.sort(([, a], [, b]) => a.usedMs - b.usedMs)
    const taken = found.reduce((sum, [, { bytes }]) => sum + bytes, 0)
    const { bavail, bsize } = await statfs(directory)
    const maxBytes = Math.min(limits.maxBytes, Math.floor((taken + bavail * bsize) * SHARE_OF_DISK))
    const cache = new ArtifactCache(directory, blobs, random, { ...limits, maxBytes }, onPoint)
    for (const [name, file] of found) cache.#whole.set(name, file)
    return cache
  }

  /** Whole files, the least recently used first. */
  files(): ReadonlySet<string> {
    return new Set(this.#whole.keys())
  }

  /** Bytes of each whole file. */
  sizes(): ReadonlyMap<string, number> {
    return new Map([...this.#whole].map(([sha256, { bytes }]) => [sha256, bytes]))
  }

  /** What the files may take; nothing that could be spared while a file did not fit on the disk. */
  limitBytes(): number {
    return this.#diskIsFull ? 0 : this.#maxBytes
  }

  /** Marks files as used just now, in this order. Memory only: see the class. */
  touch(files: readonly string[]): void {
    for (const sha256 of files) {
      const file = this.#whole.get(sha256)
      if (file === undefined) continue
      this.#whole.delete(sha256)
      this.#whole.set(sha256, file)
    }
    if (this.#now() - this.#savedAtMs >= SAVE_ORDER_MS) this.#saveOrder()
  }

  /** Writes down what was not yet written of the order of use. */
  async close(): Promise<void> {
    this.#saveOrder()
    await this.#saving
  }

  path(sha256: string): string {
    return join(this.#directory, sha256)
  }

  /**
   * Brings a file into the cache and answers its path. Several callers share one download; it stops when the last of
   * them aborts, and its part stays for the next attempt. `bytes` bounds what is written, where it is known.
   */
  async fetch(sha256: string, signal: AbortSignal, bytes?: number): Promise<string> {
    if (this.#whole.has(sha256)) {
      this.touch([sha256])
      return this.path(sha256)
    }
    let download = this.#downloads.get(sha256)
    if (download === undefined) {
      const controller = new AbortController()
      const promise = this.#download(sha256, bytes, controller.signal).finally(() => this.#downloads.delete(sha256))
      promise.catch(() => undefined)
      download = { promise, controller, waiting: 0 }
      this.#downloads.set(sha256, download)
    }
    const shared = download
    shared.waiting++
    return new Promise<string>((resolve, reject) => {
      const leave = (): void => {
        signal.removeEventListener('abort', abort)
        shared.waiting--
        if (shared.waiting === 0) shared.controller.abort()
      }
      const abort = (): void => {
        leave()
        reject(new AgentError('aborted'))
      }
      if (signal.aborted) return abort()
      signal.addEventListener('abort', abort)
      void shared.promise.then(resolve, reject).finally(() => {
        if (!signal.aborted) leave()
      })
    })
  }

  async evict(sha256: string): Promise<void> {
    this.#whole.delete(sha256)
    await rm(this.path(sha256), { force: true })
    if (!this.#downloads.has(sha256)) await rm(this.#partPath(sha256), { force: true })
  }

  /** Removes parts of downloads that nobody wants any more. */
  async dropParts(wanted: ReadonlySet<string>): Promise<void> {
    for (const name of await readdir(this.#directory)) {
      const sha256 = name.endsWith('.part') ? name.slice(0, -5) : null
      if (sha256 === null || wanted.has(sha256) || this.#downloads.has(sha256)) continue
      await rm(join(this.#directory, name), { force: true })
    }
  }

  /**
   * A file's time says when it was used, and only the order counts: it grows with each later use also on a device whose
   * clock starts in 1970. A time that could not be written costs a worse choice at an eviction, nothing else.
   */
  #saveOrder(): void {
    this.#savedAtMs = this.#now()
    let lastMs = Number.NEGATIVE_INFINITY
    const late: [string, number][] = []
    for (const [sha256, file] of this.#whole) {
      if (file.usedMs <= lastMs || file.usedMs === Number.NEGATIVE_INFINITY) {
        // Rounded up: a whole millisecond can come back from the disk as a little less, and would be taken again.
        file.usedMs = Math.max(this.#savedAtMs, Math.ceil(lastMs) + 1)
        late.push([sha256, file.usedMs])
      }
      lastMs = file.usedMs
    }
    this.#saving = this.#saving.then(async () => {
      for (const [sha256, usedMs] of late) {
        await utimes(this.path(sha256), usedMs / 1000, usedMs / 1000).catch(() => undefined)
      }
    })
  }

  #partPath(sha256: string): string {
    return join(this.#directory, `${sha256}.part`)
  }

  async #download(sha256: string, bytes: number | undefined, signal: AbortSignal): Promise<string> {
    const backoff = new Backoff(this.#random, FIRST_WAIT_MS, LONGEST_WAIT_MS)
    const part = this.#partPath(sha256)
    for (let fruitless = 0; ; ) {
      const before = await sizeOf(part)
      try {
        await this.#attempt(sha256, part, bytes, signal)
        this.#onPoint('fetch-synced')
        await rename(part, this.path(sha256))
        this.#onPoint('fetch-renamed')
        await syncDirectory(this.#directory)
        this.#whole.set(sha256, { bytes: (await stat(this.path(sha256))).size, usedMs: Number.NEGATIVE_INFINITY })
        this.#diskIsFull = false
        return this.path(sha256)
      } catch (error) {
        if (signal.aborted) throw new AgentError('aborted')
        if (isDiskFull(error)) {
          this.#diskIsFull = true
          throw new AgentError('disk-full', `No room for ${sha256}: ${wordsOf(error)}`, { retryable: true })
        }
        if (!(error instanceof AgentError && error.retryable)) throw error
        const progressed = (await sizeOf(part)) > before
        fruitless = progressed ? 0 : fruitless + 1
        if (progressed) backoff.reset()
        if (fruitless >= FRUITLESS_ATTEMPTS) throw error
        await waitOrAbort(backoff.nextMs(), signal)
      }
    }
  }

  async #attempt(sha256: string, part: string, bytes: number | undefined, signal: AbortSignal): Promise<void> {
    const file = await open(part, 'a', 0o600)
    try {
      const have = (await file.stat()).size
      const hash = createHash('sha256')
      if (have > 0) await hashFile(part, hash)
      // A part that is whole already (the power went before its rename) needs no transfer.
      if (have > 0 && hash.copy().digest('hex') === sha256) return await file.sync()
      if (bytes !== undefined && have >= bytes) await discard(file, 'The part is not a beginning of the blob.')
      const { response, startsAt } = await this.#blobs.open(sha256, have, signal).catch(async (error: unknown) => {
        // 416: the part is at least as long as the blob, and its hash was wrong.
        if (error instanceof AgentError && error.code === 'blob-refused' && have > 0) await discard(file, error.message)
        throw error
      })
      const running = startsAt === have ? hash : createHash('sha256')
      if (startsAt !== have) await file.truncate(startsAt)
      let at = startsAt
      this.#onPoint('fetch-opened')
      try {
        for await (const piece of arrivals(response)) {
          at += piece.byteLength
          if (bytes !== undefined && at > bytes) throw new AgentError('digest-mismatch', `Blob ${sha256} is too long.`)
          running.update(piece)
          await file.writeFile(piece)
          this.#onPoint('fetch-piece')
        }
      } catch (error) {
        if (error instanceof AgentError || isDiskError(error)) throw error
        throw new AgentError('transfer-failed', `The transfer was cut: ${wordsOf(error)}`, { retryable: true })
      }
      if (running.digest('hex') !== sha256) {
        await file.truncate(0)
        // What was there before the cut may be what is wrong (power loss): worth one transfer from the start.
        throw new AgentError('digest-mismatch', `The bytes of blob ${sha256} have another hash.`, {
          retryable: startsAt > 0
        })
      }
      this.#onPoint('fetch-whole')
      await file.sync()
    } finally {
      await file.close()
    }
  }
}

async function discard(file: FileHandle, why: string): Promise<never> {
  await file.truncate(0)
  throw new AgentError('transfer-failed', why, { retryable: true })
}

async function sizeOf(path: string): Promise<number> {
  return stat(path).then(
    (file) => file.size,
    () => 0
  )
}

function isDiskFull(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOSPC' || code === 'EDQUOT'
}

function isDiskError(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return isDiskFull(error) || code === 'EIO' || code === 'EROFS'
}
