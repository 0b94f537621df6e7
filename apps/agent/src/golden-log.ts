import { readFile } from 'node:fs/promises'
import { isA, Type } from '@skerry/contracts'
import type { Logger } from 'pino'
import { wordsOf } from './agent-error.ts'
import { writeFileAtomic } from './atomic-file.ts'

/** Everything whose upgrade may change what a model computes, by what people call it. */
export type Versions = Record<string, string>

const Passed = Type.Object({ versions: Type.Record(Type.String(), Type.String()), atMs: Type.Number() })
const GoldenFile = Type.Record(Type.String(), Passed)
type Entry = { versions: Versions; atMs: number }

/**
 * With which versions each unit last answered its golden inputs as it should, also before the last start: so that a
 * runtime whose library was exchanged under the running agent is proven again, and a failure says what has changed.
 */
export class GoldenLog {
  readonly #path: string
  readonly #log: Logger
  readonly #passed: Map<string, Entry>
  #saving: Promise<void> = Promise.resolve()

  static async open(path: string, log: Logger): Promise<GoldenLog> {
    const passed = new Map<string, Entry>()
    try {
      const file: unknown = JSON.parse(await readFile(path, 'utf8'))
      if (!isA(GoldenFile, file)) throw new Error('it holds something else')
      for (const [unit, entry] of Object.entries(file)) passed.set(unit, entry)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        log.warn({ error: wordsOf(error) }, 'with which versions the models were checked is not known')
      }
    }
    return new GoldenLog(path, log, passed)
  }

  private constructor(path: string, log: Logger, passed: Map<string, Entry>) {
    this.#path = path
    this.#log = log
    this.#passed = passed
  }

  passed(unit: string, versions: Versions, atMs: number): void {
    this.#passed.set(unit, { versions, atMs })
    this.#save()
  }

  /** Forgets all units but these. */
  keep(units: ReadonlySet<string>): void {
    const gone = [...this.#passed.keys()].filter((unit) => !units.has(unit))
    for (const unit of gone) this.#passed.delete(unit)
    if (gone.length > 0) this.#save()
  }

  /** What has another version than when the unit last passed, in words; empty where nothing has, or it never passed. */
  changesSince(unit: string, versions: Versions): string[] {
    const before = this.#passed.get(unit)?.versions
    if (before === undefined) return []
    return [...new Set([...Object.keys(before), ...Object.keys(versions)])].flatMap((what) =>
      before[what] === versions[what]
        ? []
        : [`${what} was ${before[what] ?? 'none'} and is ${versions[what] ?? 'none'}`]
    )
  }

  async close(): Promise<void> {
    await this.#saving
  }

  #save(): void {
    this.#saving = this.#saving
      .then(() => writeFileAtomic(this.#path, JSON.stringify(Object.fromEntries(this.#passed)), 0o600))
      .catch((error: unknown) => {
        this.#log.warn({ error: wordsOf(error) }, 'with which versions the models were checked could not be kept')
      })
  }
}
