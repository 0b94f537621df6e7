import { createHash, createPublicKey, generateKeyPairSync, type KeyObject, randomUUID, sign, verify } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import {
  AgentFrame,
  type ControlFrame,
  canonicalJson,
  challengeText,
  type DesiredArtifact,
  decodeFrame,
  EnrolRequest,
  encodeFrame,
  keyRotationText,
  type Manifest,
  PING_MS,
  type ResultFrame,
  RotateKeyRequest,
  type RuntimeLibrary,
  type RuntimeLibraryOffer,
  SUBPROTOCOL
} from '@skerry/contracts'
import { Value } from 'typebox/value'
import { type WebSocket, WebSocketServer } from 'ws'

type Frame<Type extends AgentFrame['type']> = Extract<AgentFrame, { type: Type }>
export type Received = { frame: AgentFrame; body: Uint8Array; session: number }
type Cut = { afterBytes: number }

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/**
 * A control plane that speaks the real protocol over real sockets and checks what an agent sends: signatures against
 * the enrolled key, every frame against its schema. It decides nothing; the test does.
 */
export class ControlPlane {
  readonly blobs = new Map<string, Uint8Array>()
  readonly received: Received[] = []
  /** `bytes` is what of the body was sent, and got to the far side, cut or not. */
  readonly blobRequests: {
    method: string
    sha256: string
    range: string | undefined
    ifRange: string | undefined
    status: number
    bytes: number
  }[] = []
  /** Other entity tags than the hashes. */
  readonly etags = new Map<string, string>()
  /** Cuts the transfer of a blob after so many bytes, once per entry. */
  readonly cuts = new Map<string, Cut[]>()
  readonly tokens = new Set(['join-me'])
  readonly enrolled: EnrolRequest[] = []
  /** Sent instead of `welcome`. */
  refuse: { code: string; detail: string } | null = null
  /** Sent to each session after its welcome. */
  desired: DesiredArtifact[] = []
  /** What it offers devices that have no LiteRT; null as one of before there were such offers. */
  libraries: RuntimeLibraryOffer[] | null = null
  /** What its welcome says beyond the protocol's first version; null as one of before there was any. */
  understands: string[] | null = null
  sessions = 0
  /** What it makes of a new key: `lost` and `late` take it, and answer by a cut, or only after the session has ended. */
  keys: 'taken' | 'lost' | 'late' | 'unavailable' | 'refused' = 'taken'
  readonly rotated: RotateKeyRequest[] = []
  /** Hellos that were signed by a key that is the device's no more. */
  unproven = 0
  readonly #events = new EventEmitter().setMaxListeners(100)
  readonly #server: Server
  readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: () => SUBPROTOCOL })
  readonly #key = generateKeyPairSync('ed25519')
  readonly #devices = new Map<string, KeyObject>()
  #socket: WebSocket | null = null
  #httpToken = ''
  readonly #pings = setInterval(() => {
    for (const socket of this.#sockets.clients) socket.ping()
  }, PING_MS)

  static async start(): Promise<ControlPlane> {
    const controlPlane = new ControlPlane()
    controlPlane.#server.listen(0, '127.0.0.1')
    await once(controlPlane.#server, 'listening')
    return controlPlane
  }

  private constructor() {
    this.#server = createServer((request, response) => {
      this.#http(request, response).catch((error: unknown) => response.destroy(error as Error))
    })
    this.#server.on('upgrade', (request, socket, head) => {
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#accept(webSocket))
    })
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  get publicKey(): string {
    return this.#key.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  }

  async stop(): Promise<void> {
    clearInterval(this.#pings)
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#server.closeAllConnections()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
  }

  addBlob(bytes: Uint8Array): string {
    const hash = sha256(bytes)
    this.blobs.set(hash, bytes)
    return hash
  }

  /** A signed wish for a model, its bytes stored as a blob. */
  place(
    deployment: string,
    model: Uint8Array,
    runtime: 'litert' | 'tfjs-tflite',
    manifest: Pick<Manifest, 'names'> & Partial<Manifest>
  ): DesiredArtifact {
    const artifact = this.addBlob(model)
    const whole: Manifest = {
      artifact,
      bytes: model.byteLength,
      model: 'm',
      version: '1',
      variant: 'float32',
      recipe: 'float32',
      state: 'ready',
      sourceSha256: artifact,
      converter: { name: 'none', version: '0', options: {} },
      createdAt: '2026-01-01T00:00:00Z',
      ...manifest
    }
    return { deployment, artifact, runtime, manifest: whole, signature: this.signManifest(whole) }
  }

  signManifest(manifest: Manifest | RuntimeLibrary): string {
    return sign(null, Buffer.from(canonicalJson(manifest)), this.#key.privateKey).toString('base64')
  }

  /** What a session would bring, for tests of transfers alone. */
  issueHttpToken(): string {
    this.#httpToken = randomUUID()
    return this.#httpToken
  }

  /** The current session's. */
  get httpToken(): string {
    return this.#httpToken
  }

  send(frame: ControlFrame, body?: readonly Uint8Array[]): void {
    if (this.#socket === null) throw new Error('no agent is connected')
    this.#socket.send(encodeFrame(frame, body))
  }

  ack({ jobId, epoch }: { jobId: string; epoch: number }, status: 'accepted' | 'stale' = 'accepted'): void {
    this.send({ type: 'ack', jobId, epoch, status })
  }

  /** Drops the connection the way a pulled cable does, from the agent's view: no closing handshake. */
  cut(): void {
    this.#socket?.terminate()
  }

  /** The first frame, received already or to come, that fits; fails when it does not come within `patienceMs`. */
  async frame<Type extends AgentFrame['type']>(
    type: Type,
    fits: (frame: Frame<Type>, received: Received) => boolean = () => true,
    patienceMs = 20_000
  ): Promise<Received & { frame: Frame<Type> }> {
    const find = (): (Received & { frame: Frame<Type> }) | undefined =>
      this.received.find(
        (received): received is Received & { frame: Frame<Type> } =>
          received.frame.type === type && fits(received.frame as Frame<Type>, received)
      )
    const signal = AbortSignal.timeout(patienceMs)
    for (;;) {
      const found = find()
      if (found !== undefined) return found
      await once(this.#events, 'frame', { signal }).catch(() => {
        const seen = this.received.map(({ frame }) => JSON.stringify(frame).slice(0, 300)).join('\n')
        throw new Error(`no ${type} frame came; what came:\n${seen}`)
      })
    }
  }

  result(jobId: string, epoch = 1, patienceMs?: number): Promise<Received & { frame: ResultFrame }> {
    return this.frame('result', (frame) => frame.jobId === jobId && frame.epoch === epoch, patienceMs)
  }

  async session(number: number): Promise<void> {
    while (this.sessions < number) await once(this.#events, 'session', { signal: AbortSignal.timeout(20_000) })
  }

  #accept(socket: WebSocket): void {
    const nonce = randomUUID()
    const session = { number: 0 }
    socket.on('message', (data: Buffer, isBinary) => {
      const { header, body } = decodeFrame(data, isBinary)
      if (!Value.Check(AgentFrame, header)) {
        const errors = Value.Errors(AgentFrame, header)
        throw new Error(`not a frame: ${JSON.stringify(header).slice(0, 500)} ${JSON.stringify(errors).slice(0, 500)}`)
      }
      if (header.type === 'hello') this.#hello(socket, nonce, header, session)
      this.received.push({ frame: header, body: Uint8Array.from(body), session: session.number })
      this.#events.emit('frame')
    })
    socket.send(encodeFrame({ type: 'challenge', nonce }))
  }

  #hello(socket: WebSocket, nonce: string, hello: Frame<'hello'>, session: { number: number }): void {
    const key = this.#devices.get(hello.deviceId)
    const text = Buffer.from(challengeText(nonce, hello.deviceId))
    if (key === undefined || !verify(null, text, key, Buffer.from(hello.signature, 'base64'))) {
      if (this.rotated.length > 0) {
        this.unproven++
        socket.send(encodeFrame({ type: 'refused', code: 'device-unproven', detail: 'another key' }))
        socket.close(1008)
        return
      }
      throw new Error('the challenge was not answered with the enrolled key')
    }
    if (this.refuse !== null) {
      socket.send(encodeFrame({ type: 'refused', ...this.refuse }))
      socket.close()
      return
    }
    this.#socket = socket
    session.number = ++this.sessions
    const httpToken = this.issueHttpToken()
    const controlPlanePublicKey = this.publicKey
    const welcome = { session: session.number, httpToken, heartbeatMs: 10_000, controlPlanePublicKey }
    const understands = this.understands === null ? {} : { understands: this.understands }
    socket.send(encodeFrame({ type: 'welcome', ...welcome, ...understands }))
    socket.send(encodeFrame({ type: 'desired', artifacts: this.desired }))
    this.#events.emit('session')
  }

  async #http(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = request.url ?? ''
    if (path === '/agent/v1/enrol') return this.#enrol(await bodyOf(request), response)
    if (path === '/agent/v1/rotate-key') return this.#rotateKey(await bodyOf(request), response)
    if (path === '/api/v1/runtime-libraries' && this.libraries !== null) {
      if (request.headers.authorization !== `Bearer ${this.#httpToken}`)
        return void problem(response, 401, 'unauthenticated')
      return void response.end(JSON.stringify({ items: this.libraries }))
    }
    const hash = /^\/api\/v1\/blobs\/([0-9a-f]{64})$/.exec(path)?.[1]
    if (hash === undefined) return void problem(response, 404, 'route-unknown')
    const { range } = request.headers
    const ifRange = request.headers['if-range']?.toString()
    const method = request.method ?? ''
    const current = ifRange === undefined || ifRange === (this.etags.get(hash) ?? `"${hash}"`)
    const { status, bytes } = await this.#blob(request, response, hash, current ? range : undefined)
    this.blobRequests.push({ method, sha256: hash, range, ifRange, status, bytes })
  }

  async #blob(
    request: IncomingMessage,
    response: ServerResponse,
    hash: string,
    range: string | undefined
  ): Promise<{ status: number; bytes: number }> {
    if (request.headers.authorization !== `Bearer ${this.#httpToken}`)
      return { status: problem(response, 401, 'unauthenticated'), bytes: 0 }
    if (request.method === 'PUT') {
      const bytes = await bodyOf(request)
      if (sha256(bytes) !== hash) return { status: problem(response, 422, 'digest-mismatch'), bytes: 0 }
      this.blobs.set(hash, bytes)
      response.writeHead(201).end()
      return { status: 201, bytes: 0 }
    }
    const bytes = this.blobs.get(hash)
    if (bytes === undefined) return { status: problem(response, 404, 'blob-unknown'), bytes: 0 }
    const start = Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0)
    if (start >= bytes.byteLength && start > 0)
      return { status: problem(response, 416, 'range-unsatisfiable'), bytes: 0 }
    const status = start > 0 ? 206 : 200
    const contentRange = `bytes ${start}-${bytes.byteLength - 1}/${bytes.byteLength}`
    response.writeHead(status, {
      'content-length': bytes.byteLength - start,
      ...(start > 0 ? { 'content-range': contentRange } : {})
    })
    const cut = this.cuts.get(hash)?.shift()
    const sent = bytes.subarray(start, cut === undefined ? undefined : start + cut.afterBytes)
    if (cut === undefined) response.end(sent)
    else response.write(sent, () => response.socket?.destroySoon())
    return { status, bytes: sent.byteLength }
  }

  async #rotateKey(body: Uint8Array, response: ServerResponse): Promise<void> {
    const request: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
    if (!Value.Check(RotateKeyRequest, request)) return void problem(response, 400, 'invalid-request')
    if (this.keys === 'unavailable') return void problem(response, 503, 'unavailable')
    if (this.keys === 'refused') return void problem(response, 403, 'device-revoked')
    const { deviceId, publicKey, oldSignature, newSignature } = request
    const newKey = createPublicKey({ key: Buffer.from(publicKey, 'base64'), format: 'der', type: 'spki' })
    const oldKey = this.#devices.get(deviceId)
    const text = Buffer.from(keyRotationText(deviceId, publicKey))
    const isBy = (key: KeyObject, signature: string): boolean =>
      verify(null, text, key, Buffer.from(signature, 'base64'))
    if (oldKey === undefined || !isBy(newKey, newSignature)) throw new Error('the new key did not sign')
    if (!oldKey.equals(newKey)) {
      if (!isBy(oldKey, oldSignature)) throw new Error('the old key did not sign')
      this.#devices.set(deviceId, newKey)
      this.rotated.push(request)
      this.#socket?.close(1008, 'the key of this device was replaced')
    }
    if (this.keys === 'lost') return void response.destroy()
    if (this.keys === 'late') await this.session(this.sessions + 1)
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ deviceId, publicKey }))
  }

  #enrol(body: Uint8Array, response: ServerResponse): void {
    const request: unknown = JSON.parse(Buffer.from(body).toString('utf8'))
    if (!Value.Check(EnrolRequest, request)) return void problem(response, 400, 'invalid-request')
    if (!this.tokens.delete(request.token)) return void problem(response, 401, 'token-invalid')
    this.enrolled.push(request)
    const deviceId = randomUUID()
    const der = Buffer.from(request.publicKey, 'base64')
    this.#devices.set(deviceId, createPublicKey({ key: der, format: 'der', type: 'spki' }))
    response.writeHead(201, { 'content-type': 'application/json' })
    const name = request.name ?? 'device-1'
    response.end(JSON.stringify({ deviceId, name, controlPlanePublicKey: this.publicKey }))
  }
}

async function bodyOf(request: IncomingMessage): Promise<Uint8Array> {
  const parts: Buffer[] = []
  for await (const part of request) parts.push(part as Buffer)
  return Buffer.concat(parts)
}

function problem(response: ServerResponse, status: number, code: string): number {
  response.writeHead(status, { 'content-type': 'application/problem+json' })
  response.end(JSON.stringify({ type: 'about:blank', title: code, status, code }))
  return status
}
