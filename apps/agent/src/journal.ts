import { createHash } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isA, type JobRef, ResultFrame } from '@skerry/contracts'
import type { Logger } from 'pino'
import { wordsOf } from './agent-error.ts'
import type { OnPoint } from './agent-point.ts'
import { temporaryPath, writeFileAtomic } from './atomic-file.ts'

export type JournalBounds = { entries: number; bytes: number }
export type JournalEntry = { frame: ResultFrame; body: Uint8Array }

/** `order` grows from entry to entry: a file's time is too coarse to order results by. */
type Head = { order: number; frame: ResultFrame; bodyBytes: number; sha256: string }
type Slot = { ref: JobRef; bytes: number; sentAtMs: number | null }

const keyOf = ({ jobId, epoch }: JobRef): string => `${jobId}-${epoch}`

/**
 * Results that the control plane has not acknowledged, one file each: a line of JSON (frame, length and hash of the
 * body), then the body. They are written before they are first sent and survive a lost connection and a restart.
 * Beyond its bounds the oldest entry goes; its job runs again once its lease ends, so nothing is lost but work.
 */
export class Journal {
  readonly #directory: string
  readonly #bounds: JournalBounds
  readonly #log: Logger
  readonly #onPoint: OnPoint
  readonly #slots = new Map<string, Slot>()
  #bytes = 0
  #lastOrder = 0
  /** Entries dropped for want of room since the start. */
  dropped = 0

  private constructor(directory: string, bounds: JournalBounds, log: Logger, onPoint: OnPoint) {
    this.#directory = directory
    this.#bounds = bounds
    this.#log = log
    this.#onPoint = onPoint
  }

  /** Reads what an earlier run left, oldest first; files that a power loss cut short are removed. */
  static async open(
    directory: string,
    bounds: JournalBounds,
    log: Logger,
    onPoint: OnPoint = () => undefined
  ): Promise<Journal> {
    await mkdir(directory, { recursive: true, mode: 0o700 })
    const journal = new Journal(directory, bounds, log, onPoint)
    const found: { ref: JobRef; bytes: number; order: number }[] = []
    for (const name of await readdir(directory)) {
      const [, jobId, epoch] = /^(.+)-(\d+)\.json$/.exec(name) ?? []
      const path = join(directory, name)
      if (name.endsWith('.tmp')) {
        await rm(path, { force: true })
        continue
      }
      const entry = jobId === undefined ? null : await readEntry(path)
      if (jobId === undefined || entry === null) {
        log.warn({ file: name }, 'a damaged result was removed from the journal; its job will run again')
        await rm(path, { force: true })
        continue
      }
      const { size } = await stat(path)
      found.push({ ref: { jobId, epoch: Number(epoch) }, bytes: size, order: entry.order })
    }
    found.sort((a, b) => a.order - b.order)
    journal.#lastOrder = found.at(-1)?.order ?? 0
    for (const { ref, bytes } of found) journal.#add(ref, bytes)
    return journal
  }

  get bytes(): number {
    return this.#bytes
  }

  has(ref: JobRef): boolean {
    return this.#slots.has(keyOf(ref))
  }

  /** Oldest first. */
  refs(): JobRef[] {
    return [...this.#slots.values()].map(({ ref }) => ref)
  }

  /** Entries not sent since `beforeMs` on the caller's clock. */
  unsentSince(beforeMs: number): JobRef[] {
    return [...this.#slots.values()].flatMap(({ ref, sentAtMs }) =>
      sentAtMs === null || sentAtMs < beforeMs ? [ref] : []
    )
  }

  markSent(ref: JobRef, atMs: number): void {
    const slot = this.#slots.get(keyOf(ref))
    if (slot !== undefined) slot.sentAtMs = atMs
  }

  /**
   * A result has its name only once it is whole. `durable` survives a power loss at any moment after this; without it
   * the write costs some tens of microseconds and survives the end of the process, which is enough for work that takes
   * milliseconds to repeat.
   */
  async put(ref: JobRef, { frame, body }: JournalEntry, durable: boolean): Promise<void> {
    const sha256 = createHash('sha256').update(body).digest('hex')
    const head = Buffer.from(
      `${JSON.stringify({ order: ++this.#lastOrder, frame, bodyBytes: body.byteLength, sha256 } satisfies Head)}\n`
    )
    const data = Buffer.concat([head, body])
    const path = this.#path(ref)
    const onWritten = (): void => this.#onPoint('result-written')
    if (durable) await writeFileAtomic(path, data, 0o600, onWritten)
    else {
      // Overwritten or removed at the next start, should the disk be full.
      writeFileSync(temporaryPath(path), data, { mode: 0o600 })
      onWritten()
      renameSync(temporaryPath(path), path)
    }
    this.#add(ref, data.byteLength)
    this.#onPoint('result-journaled')
  }

  /** null when the file is gone or damaged; the entry is then forgotten. */
  async read(ref: JobRef): Promise<JournalEntry | null> {
    const entry = await readEntry(this.#path(ref))
    if (entry === null) this.remove(ref)
    return entry
  }

  remove(ref: JobRef): void {
    const slot = this.#slots.get(keyOf(ref))
    if (slot === undefined) return
    this.#slots.delete(keyOf(ref))
    this.#bytes -= slot.bytes
    rm(this.#path(ref), { force: true }).catch((error: unknown) => {
      this.#log.warn({ ...ref, error: wordsOf(error) }, 'a result was not removed from the journal')
    })
  }

  #add(ref: JobRef, bytes: number): void {
    this.#bytes += bytes - (this.#slots.get(keyOf(ref))?.bytes ?? 0)
    this.#slots.delete(keyOf(ref))
    this.#slots.set(keyOf(ref), { ref, bytes, sentAtMs: null })
    for (const oldest of this.#slots.values()) {
      if (this.#slots.size <= this.#bounds.entries && this.#bytes <= this.#bounds.bytes) break
      if (this.#slots.size === 1) break
      this.dropped++
      this.#log.warn({ ...oldest.ref, dropped: this.dropped }, 'the journal is full: its oldest result was dropped')
      this.remove(oldest.ref)
    }
  }

  #path(ref: JobRef): string {
    return join(this.#directory, `${keyOf(ref)}.json`)
  }
}

async function readEntry(path: string): Promise<(JournalEntry & { order: number }) | null> {
  try {
    const data = await readFile(path)
    const headBytes = data.indexOf(0x0a)
    const head = JSON.parse(data.subarray(0, headBytes).toString('utf8')) as Head
    const body = data.subarray(headBytes + 1)
    const whole = createHash('sha256').update(body).digest('hex') === head.sha256
    return whole && body.byteLength === head.bodyBytes && isA(ResultFrame, head.frame)
      ? { order: head.order, frame: head.frame, body }
      : null
  } catch {
    // Not JSON, or not there: nothing that can be sent.
    return null
  }
}
