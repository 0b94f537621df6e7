import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { DeviceFacts, RuntimeLibraryOffer, RuntimeName } from '@skerry/contracts'
import { acceptLiteRt, type Machine } from '@skerry/runtimes'
import type { Logger } from 'pino'
import { AgentError, wordsOf } from '../agent-error.ts'
import type { OnPoint } from '../agent-point.ts'
import { ArtifactCache } from '../artifact-cache.ts'
import { writeFileAtomic } from '../atomic-file.ts'
import { BlobClient } from '../blob-client.ts'
import { type HttpExchange, readBody, readProblem } from '../http-exchange.ts'
import { chooseOffer } from './choose-offer.ts'

export type LiteRtSourceDeps = {
  /** Given by whoever started the agent: then nothing is fetched. */
  library?: string | undefined
  version?: string | undefined
  dataDir: string
  machine: Machine
  log: Logger
}

export type FetchDeps = {
  http: HttpExchange
  /** Addresses of the control plane's, see `endpointsOf`. */
  libraries: URL
  blob: (sha256: string) => URL
  httpToken: () => string | null
  controlPlanePublicKey: string
  random: () => number
  now: () => number
  onPoint: OnPoint
}

export type FetchOutcome = 'arrived' | 'reason-changed' | 'nothing-new'

const LIST_BYTES = 65_536
/** A library is some 8 MB; more than this is none. */
const MAX_LIBRARY_BYTES = 256 * 1024 ** 2

/**
 * Where LiteRT's library comes from: the command line, else what the control plane handed out, kept in `libraries/` as
 * `litert.json` (the signed statement) and the file under its sha256. The statement is verified at every start, and the
 * file's hash then and whenever the runtime starts.
 */
export class LiteRtSource {
  readonly #deps: LiteRtSourceDeps
  readonly #directory: string
  #library: string | undefined
  #version: string | undefined
  /** Why there is none, once that is known. */
  reason: string | null = null

  constructor(deps: LiteRtSourceDeps) {
    this.#deps = deps
    this.#directory = join(deps.dataDir, 'libraries')
    this.#library = deps.library
    this.#version = deps.version
  }

  get library(): string | undefined {
    return this.#library
  }

  get version(): string | undefined {
    return this.#version
  }

  /** Notes why LiteRT does not start, or that it does. */
  async watched<T>(runtime: RuntimeName, starting: Promise<T>): Promise<T> {
    try {
      const started = await starting
      if (runtime === 'litert') this.reason = null
      return started
    } catch (error) {
      if (runtime === 'litert') this.reason = wordsOf(error)
      throw error
    }
  }

  /** For the facts: what people look at when they ask why a device is slow. */
  unavailable(): Pick<DeviceFacts, 'unavailableRuntimes'> {
    const { reason } = this
    return reason === null ? {} : { unavailableRuntimes: [{ name: 'litert', reason: reason.slice(0, 2_000) }] }
  }

  /** Takes up what an earlier run fetched. */
  async open(controlPlanePublicKey: string): Promise<void> {
    if (this.#library !== undefined) return
    const { machine, log } = this.#deps
    try {
      const kept: unknown = JSON.parse(await readFile(this.#statementPath, 'utf8'))
      const choice = chooseOffer([kept], machine, controlPlanePublicKey)
      if ('reason' in choice) throw new Error(choice.reason)
      await this.#use(choice.offer)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
      log.warn({ error: wordsOf(error) }, 'the kept LiteRT library is not used; another one is asked for')
    }
  }

  /** Asks the control plane for what fits, where there is none yet; never rejects. */
  async fetch(deps: FetchDeps, signal: AbortSignal): Promise<FetchOutcome> {
    if (this.#library !== undefined) return 'nothing-new'
    const { machine, log } = this.#deps
    const { reason } = this
    try {
      const offered = await offers(deps, signal)
      if (offered === null) return 'nothing-new'
      const choice = chooseOffer(offered, machine, deps.controlPlanePublicKey)
      if ('reason' in choice) throw new AgentError('no-runtime', choice.reason)
      await this.#download(choice.offer, deps, signal)
      log.info({ library: choice.offer.library }, 'LiteRT came from the control plane')
      this.reason = null
      return 'arrived'
    } catch (error) {
      if (signal.aborted) return 'nothing-new'
      this.reason = wordsOf(error)
      log.warn({ reason: this.reason }, 'there is no LiteRT library for this device')
      return this.reason === reason ? 'nothing-new' : 'reason-changed'
    }
  }

  async #download(offer: RuntimeLibraryOffer, deps: FetchDeps, signal: AbortSignal): Promise<void> {
    const { sha256, bytes } = offer.library
    const { http, blob: blobUrl, httpToken, random, now, onPoint } = deps
    const blobs = new BlobClient({ http, blobUrl, httpToken, random })
    // A cache of its own: nothing evicts from it, and models do not compete with it.
    const limits = { maxBytes: MAX_LIBRARY_BYTES, now }
    const cache = await ArtifactCache.open(this.#directory, blobs, random, limits, onPoint)
    await cache.fetch(sha256, signal, bytes)
    onPoint('library-fetched')
    await this.#use(offer)
    const statement = `${JSON.stringify(offer, null, 2)}\n`
    await writeFileAtomic(this.#statementPath, statement, 0o600, () => onPoint('library-written'))
    onPoint('library-saved')
    for (const name of await readdir(this.#directory)) {
      if (name !== sha256 && /^[0-9a-f]{64}(\.part)?$/.test(name))
        await rm(join(this.#directory, name), { force: true })
    }
  }

  /** Throws where the file is not the one that was tried: what remains of it goes, so that it can be fetched anew. */
  async #use({ library: { sha256, version } }: RuntimeLibraryOffer): Promise<void> {
    const path = join(this.#directory, sha256)
    await acceptLiteRt(path, this.#deps.machine, { allowUnknown: false }).catch(async (error: unknown) => {
      await rm(path, { force: true })
      throw error
    })
    this.#library = path
    this.#version = version
  }

  get #statementPath(): string {
    return join(this.#directory, 'litert.json')
  }
}

/** null from a control plane that is older than this: it would not understand the facts that could follow. */
async function offers({ http, libraries, httpToken }: FetchDeps, signal: AbortSignal): Promise<unknown[] | null> {
  const headers = { authorization: `Bearer ${httpToken() ?? ''}` }
  const response = await http.call({ method: 'GET', url: libraries, headers, signal })
  if ((response.statusCode ?? 0) >= 400) {
    const { status, words } = await readProblem(response)
    if (status === 404) return null
    throw new AgentError('transfer-failed', `The LiteRT libraries of the control plane: ${words}`)
  }
  const answer = JSON.parse((await readBody(response, LIST_BYTES)).toString('utf8')) as { items?: unknown }
  return Array.isArray(answer.items) ? answer.items : []
}
