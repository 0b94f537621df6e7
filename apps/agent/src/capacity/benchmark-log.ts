import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { BenchmarkResult, isA, type RuntimeName, Type } from '@skerry/contracts'
import type { Logger } from 'pino'
import { wordsOf } from '../agent-error.ts'
import { writeFileAtomic } from '../atomic-file.ts'
import { type Conditions, isSame } from './conditions.ts'

const Entry = Type.Object({
  /** The same however often it is sent. */
  id: Type.String({ format: 'uuid' }),
  conditions: Type.Record(Type.String(), Type.String()),
  result: BenchmarkResult,
  acknowledged: Type.Boolean()
})
export type BenchmarkEntry = { id: string; conditions: Conditions; result: BenchmarkResult; acknowledged: boolean }
const KeptFile = Type.Array(Entry)

/** Beyond this the oldest are forgotten, and measured again if they are deployed again. */
const MAX_ENTRIES = 256

/** What artifacts were measured to take on this device, the newest last: over restarts, so that each is measured once. */
export class BenchmarkLog {
  readonly #path: string
  readonly #log: Logger
  readonly #entries = new Map<string, BenchmarkEntry>()
  #saving: Promise<void> = Promise.resolve()

  static async open(path: string, log: Logger): Promise<BenchmarkLog> {
    const kept = new BenchmarkLog(path, log)
    try {
      const file: unknown = JSON.parse(await readFile(path, 'utf8'))
      if (!isA(KeptFile, file)) throw new Error('it holds something else')
      for (const entry of file) kept.#entries.set(keyOf(entry.result.artifact, entry.result.runtime), entry)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        log.warn({ error: wordsOf(error) }, 'what the models were measured to take is not known: they are again')
      }
    }
    return kept
  }

  private constructor(path: string, log: Logger) {
    this.#path = path
    this.#log = log
  }

  has(artifact: string, runtime: RuntimeName, conditions: Conditions): boolean {
    const entry = this.#entries.get(keyOf(artifact, runtime))
    return entry !== undefined && isSame(entry.conditions, conditions)
  }

  /** `acknowledged` for what reaches the control plane by itself, as the result of a job. Resolves when it is kept. */
  async add(conditions: Conditions, result: BenchmarkResult, acknowledged: boolean): Promise<void> {
    const key = keyOf(result.artifact, result.runtime)
    this.#entries.delete(key)
    this.#entries.set(key, { id: randomUUID(), conditions, result, acknowledged })
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= MAX_ENTRIES) break
      this.#entries.delete(oldest)
    }
    await this.#save()
  }

  unacknowledged(): BenchmarkEntry[] {
    return [...this.#entries.values()].filter(({ acknowledged }) => !acknowledged)
  }

  acknowledge(id: string): void {
    const entry = this.unacknowledged().find((each) => each.id === id)
    if (entry === undefined) return
    entry.acknowledged = true
    void this.#save()
  }

  async close(): Promise<void> {
    await this.#saving
  }

  /** A disk that is full costs a measurement after the next start, nothing more. */
  #save(): Promise<void> {
    this.#saving = this.#saving
      .then(() => writeFileAtomic(this.#path, JSON.stringify([...this.#entries.values()]), 0o600))
      .catch((error: unknown) => {
        this.#log.warn({ error: wordsOf(error) }, 'what the models were measured to take could not be kept')
      })
    return this.#saving
  }
}

const keyOf = (artifact: string, runtime: RuntimeName): string => `${artifact}/${runtime}`
