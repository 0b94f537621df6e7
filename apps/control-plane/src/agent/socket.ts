import { randomBytes, verify } from 'node:crypto'
import websocket from '@fastify/websocket'
import {
  type ControlFrame,
  challengeText,
  decodeFrame,
  encodeFrame,
  MAX_FRAME_BYTES,
  PING_MS,
  SkerryError,
  SUBPROTOCOL
} from '@skerry/contracts'
import type { DeviceLink, Engine } from '@skerry/engine'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { RawData, WebSocket } from 'ws'
import { verifyingKey } from './ed25519-key.ts'
import { parseAgentFrame, parseHello } from './frame-schemas.ts'
import { Pings } from './pings.ts'

const HELLO_WITHIN_MS = 10_000
/** A device that stops reading is cut off before its unsent frames fill the memory. */
const MAX_UNSENT_BYTES = 32 * 1024 ** 2

const toBytes = (data: RawData): Uint8Array =>
  Array.isArray(data) ? Buffer.concat(data) : Buffer.isBuffer(data) ? data : new Uint8Array(data)

class SocketLink implements DeviceLink {
  readonly #socket: WebSocket
  constructor(socket: WebSocket) {
    this.#socket = socket
  }
  send(frame: ControlFrame, body?: readonly Uint8Array[]): void {
    if (this.#socket.readyState !== this.#socket.OPEN) return
    if (this.#socket.bufferedAmount > MAX_UNSENT_BYTES) this.#socket.terminate()
    else this.#socket.send(encodeFrame(frame, body))
  }
  close(reason: string, code = 1008): void {
    this.#socket.close(code, reason.slice(0, 120))
  }
}

/** One connection: challenge, hello, then frames, each handled after the one before it. */
class AgentConnection {
  readonly #engine: Engine
  readonly #log: FastifyBaseLogger
  readonly #link: SocketLink
  readonly #nonce = randomBytes(24).toString('base64url')
  #identity: { deviceId: string; session: number } | null = null
  #work: Promise<void> = Promise.resolve()
  #closed = false

  constructor(socket: WebSocket, engine: Engine, log: FastifyBaseLogger) {
    this.#engine = engine
    this.#log = log
    this.#link = new SocketLink(socket)
    const impatience = setTimeout(() => this.#link.close('no hello came'), HELLO_WITHIN_MS)
    socket.on('message', (data, isBinary) => {
      // It came: how long it waits among others is not the device's fault.
      clearTimeout(impatience)
      this.#work = this.#work.then(() => this.#onMessage(toBytes(data), isBinary))
    })
    socket.on('pong', () => {
      if (this.#identity !== null) engine.sessions.heard(this.#identity.deviceId, this.#identity.session)
    })
    socket.on('error', (error) => log.debug({ err: error }, 'agent socket failed'))
    socket.on('close', () => {
      clearTimeout(impatience)
      this.#closed = true
      this.#work = this.#work.then(() => this.#onClose())
    })
    this.#link.send({ type: 'challenge', nonce: this.#nonce })
  }

  async #onMessage(data: Uint8Array, isBinary: boolean): Promise<void> {
    if (this.#closed && this.#identity === null) return
    let apply: () => Promise<void>
    try {
      apply = this.#read(data, isBinary)
    } catch (error) {
      const detail = error instanceof Error ? error.message : String(error)
      this.#log.warn({ err: error, device: this.#identity?.deviceId }, 'a frame was refused')
      this.#link.send({ type: 'refused', code: 'frame-refused', detail })
      return this.#link.close('a frame was refused')
    }
    try {
      await apply()
    } catch (error) {
      // Nothing is acknowledged, so the agent says it again when it comes back.
      this.#log.error({ err: error, device: this.#identity?.deviceId }, 'a frame could not be applied')
      this.#link.close('the control plane failed; connect again', 1011)
    }
  }

  /** Checks a frame and answers what it asks for. Throws a plain Error on what is no frame. */
  #read(data: Uint8Array, isBinary: boolean): () => Promise<void> {
    const { header, body } = decodeFrame(data, isBinary)
    if (this.#identity === null) {
      const hello = parseHello(header)
      return () => this.#onHello(hello)
    }
    const { deviceId, session } = this.#identity
    const frame = parseAgentFrame(header)
    return () => this.#engine.sessions.onFrame(deviceId, session, frame, body)
  }

  async #onHello(hello: ReturnType<typeof parseHello>): Promise<void> {
    const known = await this.#engine.sessions.publicKey(hello.deviceId)
    const refuse = (code: string, detail: string) => {
      this.#link.send({ type: 'refused', code, detail })
      this.#link.close(code)
    }
    if (known === null)
      return refuse('device-unknown', 'This control plane does not know the device: enrol it with a token')
    const key = verifyingKey(known.publicKey)
    const signature = Buffer.from(hello.signature, 'base64')
    if (!verify(null, Buffer.from(challengeText(this.#nonce, hello.deviceId)), key, signature))
      return refuse('device-unproven', 'The signature over the challenge is not by the key that was enrolled')
    if (known.revoked) return refuse('device-revoked', 'An operator revoked this device')
    try {
      const session = await this.#engine.sessions.open(hello, known.publicKey, this.#link, () => this.#closed)
      if (session === null) return
      this.#identity = { deviceId: hello.deviceId, session }
    } catch (error) {
      if (!(error instanceof SkerryError) || error.code !== 'device-unproven') throw error
      refuse(error.code, error.message)
    }
  }

  async #onClose(): Promise<void> {
    if (this.#identity === null) return
    const { deviceId, session } = this.#identity
    await this.#engine.sessions
      .close(deviceId, session)
      .catch((error) => this.#log.error({ err: error, device: deviceId }, 'a session could not be closed'))
  }

  /** Resolves when the frames that arrived so far were handled. */
  idle(): Promise<void> {
    return this.#work
  }
}

export default fp(
  async (app: FastifyInstance, { engine }: { engine: Engine }) => {
    await app.register(websocket, {
      options: {
        maxPayload: MAX_FRAME_BYTES + 65_536,
        perMessageDeflate: false,
        handleProtocols: (offered: Set<string>) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false)
      }
    })
    const connections = new Map<WebSocket, AgentConnection>()
    const pings = new Pings(PING_MS)
    pings.start()

    app.get('/agent/v1', { websocket: true, config: { public: true }, schema: { hide: true } }, (socket, request) => {
      connections.set(socket, new AgentConnection(socket, engine, request.log))
      pings.add(socket)
      socket.on('close', () => {
        connections.delete(socket)
        pings.remove(socket)
      })
    })

    app.addHook('preClose', async () => {
      pings.stop()
      const open = [...connections.values()]
      for (const socket of connections.keys()) socket.terminate()
      await Promise.all(open.map((connection) => connection.idle()))
    })
  },
  { name: 'agent-socket', dependencies: ['access'] }
)
