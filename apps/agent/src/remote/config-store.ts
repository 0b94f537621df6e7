import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DeviceConfig, isA, Type } from '@skerry/contracts'
import type { Logger } from 'pino'
import { wordsOf } from '../agent-error.ts'
import { writeFileAtomic } from '../atomic-file.ts'

export type KeptConfig = { revision: number; config: DeviceConfig }

const ConfigFile = Type.Object({ revision: Type.Integer(), config: DeviceConfig })
const NONE: KeptConfig = { revision: 0, config: {} }

/** What the control plane set last, so that it holds after a restart and without a network. */
export class ConfigStore {
  readonly #path: string
  readonly #log: Logger

  constructor(dataDir: string, log: Logger) {
    this.#path = join(dataDir, 'remote-config.json')
    this.#log = log
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
    await writeFileAtomic(this.#path, `${JSON.stringify(kept, null, 2)}\n`, 0o600).catch((error: unknown) =>
      this.#log.warn({ error: wordsOf(error) }, 'the configuration could not be kept for the next start')
    )
  }
}
