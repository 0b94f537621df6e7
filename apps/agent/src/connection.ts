import {
  type AgentFrame,
  decodeFrame,
  encodeFrame,
  type HelloFrame,
  MAX_FRAME_BYTES,
  SUBPROTOCOL
} from '@skerry/contracts'
import type { Logger } from 'pino'
import type { Static } from 'typebox'

import { wordsOf } from './agent-error.ts'
import { Backoff } from './backoff.ts'
import { parseControlFrame, type ReceivedFrame } from './control-frames.ts'
import { WebSocket } from './web-socket.ts'

export type Welcome = Extract<ReceivedFrame, { type: 'welcome' }>
export type Hello = Omit<Static<typeof HelloFrame>, 'type' | 'deviceId' | 'signature'>
/** Frames of a running session. */
export type SessionFrame = Exclude<ReceivedFrame, { type: 'challenge' | 'welcome' | 'refused' }>

export type ConnectionDeps = {
  url: URL
  deviceId: string
  sign: (nonce: string) => Promise<string>
  /** What the device says of itself now; asked for each session. */
  hello: () => Promise<Hello>
  onSession: (welcome: Welcome) => void
  onFrame: (frame: SessionFrame, body: Uint8Array) => void
  onLost: () => void
  /** The signature was by a key that is not this device's there. True when another one may be: it connects again soon. */
  onUnproven: () => boolean
  /** The control plane does not want this device any more; no connection is tried again. */
  onRevoked: (detail: string) => void
  random: () => number
  log: Logger
}

const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 15_000
const HANDSHAKE_MS = 15_000
/** The control plane pings every 5 s. */
const SILENCE_MS = 20_000
/** A session that held this long was a good one: the next reconnect starts with short waits again. */
const STABLE_MS = 5_000
const CLOSE_MS = 1_000

/**
 * Holds a session with the control plane:
 *
 *     waiting -> connecting -> challenged -> in session -> lost -> waiting ...
 *                                     \-> refused -> waiting, or ended when revoked
 */
export class Connection {
  readonly #deps: ConnectionDeps
  readonly #backoff: Backoff
  #socket: WebSocket | null = null
  #inSession = false
  #stopped = false
  #retry: NodeJS.Timeout | null = null

  constructor(deps: ConnectionDeps) {
    this.#deps = deps
    this.#backoff = new Backoff(deps.random, FIRST_WAIT_MS, LONGEST_WAIT_MS)
  }

  start(): void {
    this.#connect()
  }

  /** False when there is no session: the frame is not queued. */
  send(frame: AgentFrame, body?: readonly Uint8Array[]): boolean {
    if (!this.#inSession || this.#socket?.readyState !== WebSocket.OPEN) return false
    return this.#write(this.#socket, frame, body)
  }

  /** Ends the session and waits until the socket is gone. */
  async stop(): Promise<void> {
    this.#stopped = true
    if (this.#retry !== null) clearTimeout(this.#retry)
    const socket = this.#socket
    if (socket === null) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => socket.terminate(), CLOSE_MS)
      socket.once('close', () => {
        clearTimeout(timer)
        resolve()
      })
      socket.close(1000, 'the agent stops')
    })
  }

  #connect(): void {
    const socket = new WebSocket(this.#deps.url, SUBPROTOCOL, {
      maxPayload: MAX_FRAME_BYTES,
      handshakeTimeout: HANDSHAKE_MS,
      perMessageDeflate: false
    })
    this.#socket = socket
    let sessionTimer: NodeJS.Timeout | null = null
    // One watch for both: until the session stands it bounds the handshake, afterwards each sign of life winds it up.
    const watch = setTimeout(() => {
      this.#deps.log.warn(this.#inSession ? 'the control plane has gone silent' : 'the handshake took too long')
      socket.terminate()
    }, SILENCE_MS)
    const heard = (): void => {
      if (this.#inSession) watch.refresh()
    }
    socket.on('ping', heard)
    socket.on('message', (data: Buffer, isBinary) => {
      heard()
      this.#receive(socket, data, isBinary).catch((error: unknown) => {
        this.#deps.log.error({ error: wordsOf(error) }, 'a frame could not be handled')
        socket.close(1011)
      })
      if (this.#inSession) sessionTimer ??= setTimeout(() => this.#backoff.reset(), STABLE_MS)
    })
    socket.on('error', (error) => this.#deps.log.debug({ error: error.message }, 'the socket failed'))
    socket.once('close', (code, reason) => {
      clearTimeout(watch)
      if (sessionTimer !== null) clearTimeout(sessionTimer)
      this.#onClose(code, reason.toString('utf8'))
    })
  }

  #onClose(code: number, reason: string): void {
    const had = this.#inSession
    this.#inSession = false
    this.#socket = null
    if (had) this.#deps.onLost()
    if (this.#stopped) return
    const waitMs = this.#backoff.nextMs()
    this.#deps.log.info({ code, reason, waitMs }, had ? 'the session was lost' : 'there is no session yet')
    this.#retry = setTimeout(() => this.#connect(), waitMs)
  }

  async #receive(socket: WebSocket, data: Buffer, isBinary: boolean): Promise<void> {
    const { header, body } = decodeFrame(data, isBinary)
    const frame = parseControlFrame(header)
    // Its type alone: what else it holds may be a secret.
    if (frame === null) {
      const { type } = Object(header) as { type?: unknown }
      return this.#deps.log.warn({ type }, 'the control plane sent something unknown')
    }
    switch (frame.type) {
      case 'challenge': {
        const { deviceId, sign, hello } = this.#deps
        const signature = await sign(frame.nonce)
        const details = await hello()
        if (socket.readyState === WebSocket.OPEN)
          this.#write(socket, { type: 'hello', deviceId, signature, ...details })
        return
      }
      case 'welcome':
        this.#inSession = true
        return this.#deps.onSession(frame)
      case 'refused':
        return this.#onRefused(frame)
      default:
        if (this.#inSession) this.#deps.onFrame(frame, body)
    }
  }

  #onRefused({ code, detail }: { code: string; detail: string }): void {
    if (code === 'device-unproven' && this.#deps.onUnproven()) {
      this.#deps.log.info('the control plane does not take this key: the other one is tried')
      return
    }
    this.#deps.log.error({ code, detail }, 'the control plane refused this device')
    this.#backoff.slowDown()
    if (code !== 'device-revoked') return
    this.#stopped = true
    this.#deps.onRevoked(detail)
  }

  #write(socket: WebSocket, frame: AgentFrame, body?: readonly Uint8Array[]): boolean {
    const data = encodeFrame(frame, body)
    const bytes = typeof data === 'string' ? Buffer.byteLength(data) : data.byteLength
    if (bytes > MAX_FRAME_BYTES) {
      this.#deps.log.error({ type: frame.type, bytes }, 'a frame is too large to send')
      return false
    }
    socket.send(data)
    return true
  }
}
