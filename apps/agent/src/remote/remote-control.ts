import type { AgentFrame } from '@skerry/contracts'
import type { Logger } from 'pino'
import { AgentError, wordsOf } from '../agent-error.ts'
import { type BlobClient, sha256Of } from '../blob-client.ts'
import type { Hello, SessionFrame } from '../connection.ts'
import { makeBundle, type Situation } from '../diagnostics/bundle.ts'
import type { FetchOutcome } from '../library/litert-source.ts'
import type { LiveConfig } from './live-config.ts'
import { type Reconfigured, reconfigure } from './reconfigure.ts'

export type RemoteFrame = Extract<SessionFrame, { type: 'config' | 'diagnose' }>

export type RemoteControlDeps = Omit<Reconfigured, 'tellFacts'> & {
  live: LiveConfig
  fetchLibrary: (signal: AbortSignal) => Promise<FetchOutcome>
  /** There is a library from the control plane, which may have a newer one by now. */
  mayBeRenewed: () => boolean
  blobs: BlobClient
  hello: () => Promise<Hello>
  situation: (hello: Hello) => Promise<Situation>
  /** False when there is no session. */
  send: (frame: AgentFrame) => boolean
  log: Logger
}

/** What an operator asks of the agent itself: other settings, and what it knows about itself. */
export class RemoteControl {
  readonly #deps: RemoteControlDeps
  readonly #stopping = new AbortController()
  #bundles: Promise<void> = Promise.resolve()
  #library: Promise<void> | null = null

  constructor(deps: RemoteControlDeps) {
    this.#deps = deps
  }

  onFrame(frame: RemoteFrame): void {
    if (frame.type === 'config') this.#inBackground(this.#configure(frame))
    // One after the other: each holds a log and its archive in memory.
    else this.#bundles = this.#bundles.then(() => this.#diagnose(frame.id))
  }

  /** A device without LiteRT asks for it in each session until it has it, and after each start for a newer one. */
  onSession(): void {
    if (this.#wantsLiteRt())
      this.#library ??= this.#fetchLibrary().finally(() => {
        this.#library = null
      })
  }

  #wantsLiteRt(): boolean {
    const { live, mayBeRenewed } = this.#deps
    const { runtime, slots } = live.config
    if (slots === 0 || (runtime !== 'auto' && runtime !== 'litert')) return false
    return mayBeRenewed() || !live.runtimes.some(({ name }) => name === 'litert')
  }

  async #fetchLibrary(): Promise<void> {
    const { fetchLibrary, live, host, log } = this.#deps
    try {
      const outcome = await fetchLibrary(this.#stopping.signal)
      if (outcome === 'arrived' && (await live.reprobe())) host.keepOnly(live.runtimes.map(({ name }) => name))
      if (outcome !== 'nothing-new') this.tellFacts()
    } catch (error) {
      log.warn({ error: wordsOf(error) }, 'the runtimes could not be tried again')
    }
  }

  /** What the hello said is no longer true. */
  tellFacts(): void {
    this.#inBackground(
      this.#deps.hello().then(({ slots, facts }) => {
        this.#deps.send({ type: 'facts', slots, facts })
      })
    )
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.#bundles
    await this.#library
  }

  async #configure({ revision, config }: Extract<RemoteFrame, { type: 'config' }>): Promise<void> {
    const parts = { ...this.#deps, tellFacts: () => this.tellFacts() }
    const report = await this.#deps.live.receive(revision, config, (...change) => reconfigure(parts, ...change))
    this.#deps.send({ type: 'config-report', ...report })
  }

  /** Never rejects: what it cannot gather or send, it says. */
  async #diagnose(id: string): Promise<void> {
    const { blobs, hello, situation, send, log } = this.#deps
    try {
      const bundle = makeBundle(await situation(await hello()))
      const blob = sha256Of(bundle)
      await blobs.write(blob, bundle, this.#stopping.signal)
      send({ type: 'diagnostics', id, blob, bytes: bundle.byteLength })
      log.info({ diagnostics: id, bytes: bundle.byteLength }, 'diagnostics were sent')
    } catch (error) {
      if (error instanceof AgentError && error.code === 'aborted') return
      log.warn({ diagnostics: id, error: wordsOf(error) }, 'diagnostics could not be sent')
      send({ type: 'diagnostics', id, error: wordsOf(error).slice(0, 2_000) })
    }
  }

  #inBackground(work: Promise<void>): void {
    work.catch((error: unknown) => this.#deps.log.error({ error: wordsOf(error) }, 'a wish was not carried out'))
  }
}
