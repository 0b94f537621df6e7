import type { KeyObject } from 'node:crypto'
import { setTimeout as wait } from 'node:timers/promises'
import type { Logger } from 'pino'
import { AgentError, wordsOf } from '../agent-error.ts'
import { answerChallenge, type Identity, readIdentity } from '../identity.ts'
import { adoptNextKey, type KeyRotation, rotateKey } from './rotate-key.ts'

export type DeviceKeysDeps = Omit<KeyRotation, 'signal'> & {
  identity: Identity
  random: () => number
  log: Logger
}

const RETRY_MS = 5_000

/**
 * With which key this device proves itself. While a rotation is under way there are two, and only the control plane
 * knows which of them counts:
 *
 *     old --> old, then new when the old is refused --> new
 *
 * The file is read for each session: the command on this device may have changed the key.
 */
export class DeviceKeys {
  readonly #deps: DeviceKeysDeps
  readonly #stopping = new AbortController()
  #identity: Identity
  #used: KeyObject
  /** By which the last session stood. */
  #proven: KeyObject | null = null
  /** Since the last session. */
  #refused: KeyObject[] = []
  #work: Promise<void> | null = null
  #pause = new AbortController()

  constructor(deps: DeviceKeysDeps) {
    this.#deps = deps
    this.#identity = deps.identity
    this.#used = deps.identity.privateKey
  }

  async sign(nonce: string): Promise<string> {
    const { dataDir, log } = this.#deps
    try {
      this.#identity = (await readIdentity(dataDir)) ?? this.#identity
    } catch (error) {
      log.warn({ error: wordsOf(error) }, 'the identity could not be read again')
    }
    this.#used = this.#untried() ?? this.#identity.privateKey
    return answerChallenge(this.#identity.deviceId, this.#used, nonce)
  }

  /** The control plane does not take the key that was used last. True when another one may be its. */
  onUnproven(): boolean {
    this.#refused.push(this.#used)
    if (this.#untried() !== undefined) return true
    this.#refused = []
    return false
  }

  /** Ends what a lost answer or a power loss left half done. */
  onSession(): void {
    this.#refused = []
    this.#proven = this.#used
    // The control plane is there: what waits to be tried again need not wait.
    this.#pause.abort()
    if (this.#identity.nextKey !== undefined) this.rotate()
  }

  /** Makes a new key in the background, and tries for as long as it may yet work. */
  rotate(): void {
    this.#begin(() => this.#rotate())
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#work
  }

  #untried(): KeyObject | undefined {
    const { privateKey, nextKey } = this.#identity
    const keys = nextKey === undefined ? [privateKey] : [privateKey, nextKey]
    return keys.find((key) => !this.#refused.some((refused) => refused.equals(key)))
  }

  #begin(work: () => Promise<void>): void {
    this.#work ??= work().finally(() => {
      this.#work = null
    })
  }

  /** The control plane took the new key, whatever became of its answer. */
  #isTaken(): boolean {
    const { nextKey } = this.#identity
    return nextKey !== undefined && this.#proven?.equals(nextKey) === true
  }

  async #adopt(): Promise<void> {
    const { dataDir, log } = this.#deps
    try {
      this.#identity = await adoptNextKey(dataDir)
      log.info('the control plane had taken the new key of this device: the old one is forgotten')
    } catch (error) {
      // Both keys stay, and the next session tries again.
      log.warn({ error: wordsOf(error) }, 'the new key of this device could not be kept as its own')
    }
  }

  async #rotate(): Promise<void> {
    const { log, random } = this.#deps
    const { signal } = this.#stopping
    while (!signal.aborted) {
      if (this.#isTaken()) return this.#adopt()
      try {
        this.#identity = await rotateKey({ ...this.#deps, signal })
        return log.info('this device has a new key')
      } catch (error) {
        if (signal.aborted) return
        if (this.#isTaken()) continue
        const again = error instanceof AgentError && error.retryable
        log.warn({ error: wordsOf(error), again }, 'the key of this device was not changed')
        if (!again) return
      }
      this.#pause = new AbortController()
      const either = AbortSignal.any([signal, this.#pause.signal])
      await wait(RETRY_MS * (1 + random()), undefined, { signal: either, ref: false }).catch(() => undefined)
    }
  }
}
