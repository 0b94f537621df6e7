import { createHash, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import {
  type AgentFrame,
  type ControlFrame,
  canonicalJson,
  type DesiredArtifact,
  decodeFrame,
  encodeFrame,
  type Manifest,
  PING_MS,
  SUBPROTOCOL
} from '@skerry/contracts'
import { type WebSocket, WebSocketServer } from 'ws'

export const joinToken = 'one-device'

type Waiting = { fits: (frame: AgentFrame) => boolean; resolve: (atMs: number) => void }

/**
 * The control plane's side of the agent protocol for one device that is believed: what a benchmark of an agent needs
 * to see of its traffic and to cut its links, without stores, jobs or a scheduler.
 */
export class OneDeviceControlPlane {
  /** Sent to each session. */
  desired: DesiredArtifact[] = []
  /** Cuts the link after so many bytes of a blob, once per entry. */
  readonly cutsAfterBytes: number[] = []
  /** Bytes of blobs that went out, and from which offsets they were asked for. */
  readonly sent: { from: number; bytes: number }[] = []
  /** When the device's last socket opened, on this process's clock in ms. */
  openedAtMs = 0
  readonly #server: Server
  readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: () => SUBPROTOCOL })
  readonly #key = generateKeyPairSync('ed25519')
  readonly #blobs = new Map<string, Uint8Array>()
  readonly #waiting = new Set<Waiting>()
  readonly #pings: NodeJS.Timeout
  #link: Socket | null = null

  static async start(): Promise<OneDeviceControlPlane> {
    const controlPlane = new OneDeviceControlPlane()
    controlPlane.#server.listen(0, '127.0.0.1')
    await once(controlPlane.#server, 'listening')
    return controlPlane
  }

  private constructor() {
    this.#server = createServer((request, response) => this.#http(request, response))
    this.#server.on('upgrade', (request, socket: Socket, head) => {
      this.#link = socket
      this.openedAtMs = performance.now()
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => this.#accept(webSocket))
    })
    this.#pings = setInterval(() => {
      for (const socket of this.#sockets.clients) socket.ping()
    }, PING_MS)
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async stop(): Promise<void> {
    clearInterval(this.#pings)
    for (const socket of this.#sockets.clients) socket.terminate()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  /** What went over the device's socket both ways, as TCP's payload, since it opened. */
  linkBytes(): number {
    return (this.#link?.bytesRead ?? 0) + (this.#link?.bytesWritten ?? 0)
  }

  place(deployment: string, model: Uint8Array, runtime: DesiredArtifact['runtime']): DesiredArtifact {
    const artifact = createHash('sha256').update(model).digest('hex')
    this.#blobs.set(artifact, model)
    const manifest: Manifest = {
      artifact,
      bytes: model.byteLength,
      model: 'example',
      version: '1',
      variant: 'float32',
      recipe: 'float32',
      state: 'ready',
      sourceSha256: artifact,
      names: { inputs: { image: 'image' }, outputs: { face: 'face' } },
      converter: { name: 'none', version: '0', options: {} },
      createdAt: '2026-01-01T00:00:00Z'
    }
    const signature = sign(null, Buffer.from(canonicalJson(manifest)), this.#key.privateKey).toString('base64')
    return { deployment, artifact, runtime, manifest, signature }
  }

  /** When the first frame to come that fits came, on this process's clock. */
  frame(fits: (frame: AgentFrame) => boolean): Promise<number> {
    return new Promise((resolve) => this.#waiting.add({ fits, resolve }))
  }

  #accept(socket: WebSocket): void {
    const send = (frame: ControlFrame): void => socket.send(encodeFrame(frame))
    socket.on('message', (data: Buffer, isBinary) => {
      const frame = decodeFrame(data, isBinary).header as AgentFrame
      if (frame.type === 'hello') {
        const controlPlanePublicKey = this.#publicKey()
        send({ type: 'welcome', session: 1, httpToken: randomUUID(), heartbeatMs: 10_000, controlPlanePublicKey })
        send({ type: 'desired', artifacts: this.desired })
      }
      for (const waiting of this.#waiting) {
        if (!waiting.fits(frame)) continue
        this.#waiting.delete(waiting)
        waiting.resolve(performance.now())
      }
    })
    send({ type: 'challenge', nonce: randomUUID() })
  }

  #publicKey(): string {
    return this.#key.publicKey.export({ type: 'spki', format: 'der' }).toString('base64')
  }

  #http(request: IncomingMessage, response: ServerResponse): void {
    request.resume()
    if (request.url === '/agent/v1/enrol') {
      const answer = { deviceId: randomUUID(), name: 'device', controlPlanePublicKey: this.#publicKey() }
      response.writeHead(201, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
      return
    }
    const sha256 = request.url?.split('/').at(-1) ?? ''
    const bytes = this.#blobs.get(sha256)
    if (bytes === undefined) return void response.writeHead(404).end()
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0)
    const range = from === 0 ? {} : { 'content-range': `bytes ${from}-${bytes.byteLength - 1}/${bytes.byteLength}` }
    const headers = { etag: `"${sha256}"`, 'content-length': bytes.byteLength - from, ...range }
    response.writeHead(from === 0 ? 200 : 206, headers)
    const cutAfter = this.cutsAfterBytes.shift()
    const body = bytes.subarray(from, cutAfter === undefined ? undefined : from + cutAfter)
    this.sent.push({ from, bytes: body.byteLength })
    if (cutAfter === undefined) response.end(body)
    else response.write(body, () => response.socket?.destroySoon())
  }
}
