import { readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { type DeviceFacts, isA, RuntimeLibraryOffer, type RuntimeName } from '@skerry/contracts'
import { acceptLiteRt, knownLiteRtLibraries, type LiteRtBuild, type Machine } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { AgentError, wordsOf } from '../agent-error.ts'
import type { OnPoint } from '../agent-point.ts'
import { syncDirectory, writeFileAtomic } from '../atomic-file.ts'
import { chooseOffer, isNewer } from './choose-offer.ts'
import { type FetchDeps, fetchLibrary, listOffers } from './offered.ts'
import { selfTest } from './self-test.ts'

export type LiteRtSourceDeps = {
  /** Given by whoever started the agent: then nothing is fetched. */
  library?: string | undefined
  version?: string | undefined
  dataDir: string
  machine: Machine
  log: Logger
  onPoint: OnPoint
  /** Libraries that were tried with this agent; those of packages/runtimes by default. */
  known?: readonly LiteRtBuild[]
  /** Tries a library that is to take another one's place; throws where it does not work. */
  selfTest?: (path: string, version: string, log: Logger) => Promise<void>
}

export type FetchOutcome = 'arrived' | 'reason-changed' | 'nothing-new'

/**
 * Where LiteRT's library comes from: the command line, else what the control plane handed out, kept in `libraries/` as
 * `litert.json` (the signed statement) and the file under its sha256. The statement is verified at every start, and the
 * file's hash then and whenever the runtime starts.
 *
 * A newer one takes a kept one's place at a start:
 *
 *     offered -> fetched, verified, self-tested beside the kept one -> kept one noted as previous -> statement replaced
 *     next start: it starts -> the previous one goes;     it does not -> the previous one is used again
 */
export class LiteRtSource {
  readonly #deps: LiteRtSourceDeps
  readonly #directory: string
  readonly #known: readonly LiteRtBuild[]
  #library: string | undefined
  #version: string | undefined
  /** Whose signature counts. */
  #publicKey = ''
  /** What `#library` is, where it came from the control plane. */
  #offer: RuntimeLibraryOffer | undefined
  /** Once in each start: a newer library is looked for, and an older one let go. */
  #lookedForNewer = false
  #letGo = false
  /** Why there is none, once that is known. */
  reason: string | null = null
  /** Why a newer one is not used. */
  #notRenewed: string | null = null

  constructor(deps: LiteRtSourceDeps) {
    this.#deps = deps
    this.#directory = join(deps.dataDir, 'libraries')
    this.#known = deps.known ?? knownLiteRtLibraries
    this.#library = deps.library
    this.#version = deps.version
  }

  get library(): string | undefined {
    return this.#library
  }

  get version(): string | undefined {
    return this.#version
  }

  /** Notes why LiteRT does not start, or that it does. Where a library that is new does not, the one before it is tried. */
  async watched<T>(runtime: RuntimeName, start: () => Promise<T>): Promise<T> {
    if (runtime !== 'litert') return start()
    try {
      const started = await start()
      this.reason = null
      await this.#releaseOthers()
      return started
    } catch (error) {
      if (!this.#letGo && (await this.#fallBack(wordsOf(error)))) return this.watched(runtime, start)
      this.reason = wordsOf(error)
      throw error
    }
  }

  /** For the facts: what people look at when they ask why a device is slow. */
  unavailable(): Pick<DeviceFacts, 'unavailableRuntimes'> {
    const reason = this.reason ?? this.#notRenewed
    return reason === null ? {} : { unavailableRuntimes: [{ name: 'litert', reason: reason.slice(0, 2_000) }] }
  }

  /** Takes up what an earlier run fetched. */
  async open(controlPlanePublicKey: string): Promise<void> {
    if (this.#library !== undefined) return
    const { log } = this.#deps
    this.#publicKey = controlPlanePublicKey
    try {
      const kept = await this.#read(this.#statementPath)
      const choice = chooseOffer([kept], this.#deps.machine, controlPlanePublicKey, this.#known)
      if ('reason' in choice) throw new Error(choice.reason)
      await this.#accept(choice.offer)
      this.#use(choice.offer)
    } catch (error) {
      if (await this.#fallBack(wordsOf(error))) return
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      log.warn({ error: wordsOf(error) }, 'the kept LiteRT library is not used; another one is asked for')
    }
  }

  /** Whether the control plane is to be asked even though there is a library: once, where it came from there. */
  mayBeRenewed(): boolean {
    return this.#offer !== undefined && !this.#lookedForNewer
  }

  /** Asks the control plane for what fits, where there is none yet or perhaps a newer one; never rejects. */
  async fetch(deps: FetchDeps, signal: AbortSignal): Promise<FetchOutcome> {
    if (this.#library !== undefined && !this.mayBeRenewed()) return 'nothing-new'
    const before = JSON.stringify(this.unavailable())
    const outcome =
      this.#offer === undefined ? await this.#first(deps, signal) : await this.#renew(this.#offer, deps, signal)
    if (outcome === 'arrived') return outcome
    return JSON.stringify(this.unavailable()) === before ? 'nothing-new' : 'reason-changed'
  }

  async #first(deps: FetchDeps, signal: AbortSignal): Promise<FetchOutcome> {
    const { machine, log } = this.#deps
    try {
      const offered = await listOffers(deps, signal)
      if (offered === null) return 'nothing-new'
      const choice = chooseOffer(offered, machine, deps.controlPlanePublicKey, this.#known)
      if ('reason' in choice) throw new AgentError('no-runtime', choice.reason)
      await fetchLibrary(this.#directory, choice.offer, deps, signal)
      await this.#accept(choice.offer)
      this.#use(choice.offer)
      await this.#keep(choice.offer)
      // What came a moment ago is the newest.
      this.#lookedForNewer = true
      log.info({ library: choice.offer.library }, 'LiteRT came from the control plane')
      this.reason = null
      return 'arrived'
    } catch (error) {
      if (signal.aborted) return 'nothing-new'
      this.reason = wordsOf(error)
      log.warn({ reason: this.reason }, 'there is no LiteRT library for this device')
      return 'reason-changed'
    }
  }

  /** What runs now runs on with the kept library; a newer one is ready for the next start, or the reason why not is. */
  async #renew(kept: RuntimeLibraryOffer, deps: FetchDeps, signal: AbortSignal): Promise<FetchOutcome> {
    const { machine, log } = this.#deps
    const { version } = kept.library
    try {
      const offered = await listOffers(deps, signal)
      this.#lookedForNewer = true
      // Others than newer ones for this machine are none of its business while it has one.
      const newer = (offered ?? []).filter(
        (offer) =>
          isA(RuntimeLibraryOffer, offer) &&
          offer.library.arch === machine.arch &&
          isNewer(offer.library.version, version)
      )
      if (newer.length === 0) return 'nothing-new'
      const choice = chooseOffer(newer, machine, deps.controlPlanePublicKey, this.#known)
      if ('reason' in choice) throw new AgentError('no-runtime', choice.reason)
      const { offer } = choice
      // From here on there are two files, and both are wanted.
      this.#letGo = true
      await fetchLibrary(this.#directory, offer, deps, signal)
      await this.#accept(offer)
      await (this.#deps.selfTest ?? selfTest)(this.#pathOf(offer), offer.library.version, log)
      await writeFileAtomic(this.#previousPath, textOf(kept), 0o600)
      await this.#keep(offer)
      log.info({ library: offer.library, now: version }, 'a newer LiteRT came, for the next start')
    } catch (error) {
      if (signal.aborted) return 'nothing-new'
      this.#notRenewed = `LiteRT ${version} stays: ${wordsOf(error)}`
      log.warn({ reason: this.#notRenewed }, 'a newer LiteRT is not used')
    }
    return 'nothing-new'
  }

  async #keep(offer: RuntimeLibraryOffer): Promise<void> {
    const { onPoint } = this.#deps
    await writeFileAtomic(this.#statementPath, textOf(offer), 0o600, () => onPoint('library-written'))
    onPoint('library-saved')
  }

  /** The library in use has started: no other is needed. */
  async #releaseOthers(): Promise<void> {
    if (this.#letGo || this.#offer === undefined) return
    this.#letGo = true
    const { sha256 } = this.#offer.library
    await rm(this.#previousPath, { force: true })
    for (const name of await readdir(this.#directory)) {
      if (name !== sha256 && /^[0-9a-f]{64}(\.part)?$/.test(name))
        await rm(join(this.#directory, name), { force: true })
    }
    this.#deps.onPoint('library-cleared')
  }

  /** True when there is a library from before that is used now. */
  async #fallBack(reason: string): Promise<boolean> {
    const { machine, log } = this.#deps
    try {
      const previous = await this.#read(this.#previousPath)
      const choice = chooseOffer([previous], machine, this.#publicKey, this.#known)
      if ('reason' in choice) throw new Error(choice.reason)
      await this.#accept(choice.offer)
      await rename(this.#previousPath, this.#statementPath)
      await syncDirectory(this.#directory)
      this.#use(choice.offer)
      this.#notRenewed = `LiteRT ${choice.offer.library.version} is used again: ${reason}`
      log.warn({ reason: this.#notRenewed }, 'a newer LiteRT is not used')
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log.warn({ error: wordsOf(error) }, 'the LiteRT library from before cannot be used either')
      return false
    }
  }

  /** Throws where the file is not the one that was tried: what remains of it goes, so that it can be fetched anew. */
  async #accept(offer: RuntimeLibraryOffer): Promise<void> {
    const path = this.#pathOf(offer)
    await acceptLiteRt(path, this.#deps.machine, { allowUnknown: false, known: this.#known }).catch(
      async (error: unknown) => {
        await rm(path, { force: true })
        throw error
      }
    )
  }

  #use(offer: RuntimeLibraryOffer): void {
    this.#offer = offer
    this.#library = this.#pathOf(offer)
    this.#version = offer.library.version
  }

  async #read(path: string): Promise<unknown> {
    return JSON.parse(await readFile(path, 'utf8'))
  }

  #pathOf({ library }: RuntimeLibraryOffer): string {
    return join(this.#directory, library.sha256)
  }

  get #statementPath(): string {
    return join(this.#directory, 'litert.json')
  }

  get #previousPath(): string {
    return join(this.#directory, 'litert.previous.json')
  }
}

const textOf = (offer: RuntimeLibraryOffer): string => `${JSON.stringify(offer, null, 2)}\n`
