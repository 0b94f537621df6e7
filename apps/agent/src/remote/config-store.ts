import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DeviceConfig, isA, Type } from '@skerry/contracts'
import type { Logger } from 'pino'
import { wordsOf } from '../agent-error.ts'
import type { OnPoint } from '../agent-point.ts'
import { writeFileAtomic } from '../atomic-file.ts'

export type KeptConfig = { revision: number; config: DeviceConfig }

const ConfigFile = Type.Object({ revision: Type.Integer(), config: DeviceConfig })
const NONE: KeptConfig = { revision: 0, config: {} }

/** What the control plane set last, so that it holds after a restart and without a network. */
export class ConfigStore {
  readonly #path: string
  readonly #log: Logger
  readonly #onPoint: OnPoint

  constructor(dataDir: string, log: Logger, onPoint: OnPoint) {
    this.#path = join(dataDir, 'remote-config.json')
    this.#log = log
    this.#onPoint = onPoint
  }

  async load(): Promise<KeptConfig> {
    try {
      const file: unknown = JSON.parse(await readFile(this.#path, 'utf8'))
      if (isA(ConfigFile, file)) return file
      throw new Error('it does not hold a configuration')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        this.#log.warn({ error: wordsOf(error) }, 'the configuration is not known: the control plane sends it again')
      return NONE
    }
  }

  /** A disk that is full costs the setting at the next start without a network, not now. */
  async save(kept: KeptConfig): Promise<void> {
    const text = `${JSON.stringify(kept, null, 2)}\n`
    try {
      await writeFileAtomic(this.#path, text, 0o600, () => this.#onPoint('config-written'))
      this.#onPoint('config-saved')
    } catch (error) {
      this.#log.warn({ error: wordsOf(error) }, 'the configuration could not be kept for the next start')
    }
  }
}
