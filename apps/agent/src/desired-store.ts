import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DesiredArtifact, isA, Type } from '@skerry/contracts'
import type { Logger } from 'pino'
import { wordsOf } from './agent-error.ts'
import { writeFileAtomic } from './atomic-file.ts'

const DesiredFile = Type.Array(DesiredArtifact)

/**
 * What the control plane wanted last, so that a device that starts without a network serves what it served before. The
 * file is trusted no more than a frame: each manifest's signature and each file's hash are verified again.
 */
export class DesiredStore {
  readonly #path: string
  readonly #log: Logger
  #saving: Promise<void> = Promise.resolve()
  #saved = ''

  constructor(dataDir: string, log: Logger) {
    this.#path = join(dataDir, 'desired.json')
    this.#log = log
  }

  /** null when nothing was wanted yet, or when the file is damaged. */
  async load(): Promise<DesiredArtifact[] | null> {
    try {
      const text = await readFile(this.#path, 'utf8')
      const desired: unknown = JSON.parse(text)
      if (!isA(DesiredFile, desired)) throw new Error('it does not hold what was desired')
      this.#saved = text
      return desired
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warn({ error: wordsOf(error) }, 'what was wanted last is not known: the control plane says it again')
      }
      return null
    }
  }

  /** Writes one wish after the other, and the same one once. What cannot be written is logged. */
  save(desired: readonly DesiredArtifact[]): void {
    const text = JSON.stringify(desired)
    if (text === this.#saved) return
    this.#saved = text
    this.#saving = this.#saving
      .then(() => writeFileAtomic(this.#path, text, 0o600))
      .catch((error: unknown) => {
        this.#saved = ''
        this.#log.warn({ error: wordsOf(error) }, 'what is wanted could not be kept for a start without a network')
      })
  }

  async close(): Promise<void> {
    await this.#saving
  }
}
