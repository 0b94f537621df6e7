import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import {
  type AgentFrame,
  type Capability,
  type ControlFrame,
  challengeText,
  type DesiredArtifact,
  type DeviceFacts,
  decodeFrame,
  type EnrolAnswer,
  encodeFrame,
  type JobRef,
  type ResultFrame,
  type RuntimeInfo,
  SUBPROTOCOL
} from '@skerry/contracts'
import { WebSocket } from 'ws'

type Assign = Extract<ControlFrame, { type: 'assign' }>
/** What the device answers to a job; null: it says nothing, as a device that died would. */
export type Answer = { frame: Omit<ResultFrame, 'type' | 'jobId' | 'epoch'>; body?: Uint8Array[] } | null

export type SimulatedDeviceOptions = {
  url: string
  token: string
  name: string
  capabilities?: Capability[]
  slots?: { infer: number; convert: number }
  runtimes?: RuntimeInfo[]
  /** What differs from a simulated device's usual hardware. */
  facts?: Partial<DeviceFacts>
  onAssign?: (assign: Assign, body: Uint8Array) => Answer | Promise<Answer>
}

/** A device that speaks the real protocol over a real socket; only what it computes is made up. */
export class SimulatedDevice {
  readonly options: SimulatedDeviceOptions
  /** Where it connects next. */
  url: string
  readonly assigned: Assign[] = []
  readonly acks: Extract<ControlFrame, { type: 'ack' }>[] = []
  readonly cancelled: JobRef[] = []
  readonly events = new EventEmitter()
  deviceId = ''
  httpToken = ''
  desired: DesiredArtifact[] = []
  /** What it tells a new session that it holds. */
  holding: JobRef[] = []
  readonly #privateKey: KeyObject
  readonly #publicKey: KeyObject
  #socket: WebSocket | null = null

  constructor(options: SimulatedDeviceOptions) {
    this.options = options
    this.url = options.url
    const pair = generateKeyPairSync('ed25519')
    this.#privateKey = pair.privateKey
    this.#publicKey = pair.publicKey
  }

  get #terms() {
    const { capabilities = ['infer'], slots = { infer: 1, convert: 0 }, runtimes = [] } = this.options
    const facts = {
      arch: 'x64',
      os: 'linux',
      cpuModel: 'simulated',
      cores: 1,
      memoryBytes: 2 ** 30,
      diskFreeBytes: 2 ** 30,
      runtimes,
      ...this.options.facts
    }
    return { capabilities, slots, facts }
  }

  async enrol(): Promise<void> {
    const response = await fetch(`${this.url}/agent/v1/enrol`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({
        token: this.options.token,
        name: this.options.name,
        publicKey: this.#publicKey.export({ format: 'der', type: 'spki' }).toString('base64'),
        ...this.#terms
      })
    })
    if (response.status !== 201) throw new Error(`enrolment: ${response.status} ${await response.text()}`)
    this.deviceId = ((await response.json()) as EnrolAnswer).deviceId
  }

  /** Opens a session; resolves when the control plane has welcomed the device and said what it wants. */
  async connect(): Promise<void> {
    if (this.deviceId === '') await this.enrol()
    const socket = new WebSocket(`${this.url.replace('http', 'ws')}/agent/v1`, SUBPROTOCOL)
    this.#socket = socket
    const desired = once(this.events, 'desired')
    socket.on('message', (data: Buffer, isBinary) => {
      const { header, body } = decodeFrame(data, isBinary)
      this.#onFrame(header as ControlFrame, body).catch((error) => this.events.emit('error', error))
    })
    // The close that follows tells of it.
    socket.on('error', () => undefined)
    socket.on('close', () => this.events.emit('closed'))
    await once(socket, 'open')
    await desired
  }

  async #onFrame(frame: ControlFrame, body: Uint8Array): Promise<void> {
    switch (frame.type) {
      case 'challenge': {
        const text = Buffer.from(challengeText(frame.nonce, this.deviceId))
        const signature = sign(null, text, this.#privateKey).toString('base64')
        this.send({ type: 'hello', deviceId: this.deviceId, signature, holding: this.holding, ...this.#terms })
        return
      }
      case 'welcome':
        this.httpToken = frame.httpToken
        break
      case 'desired':
        this.desired = frame.artifacts
        for (const { deployment, artifact } of frame.artifacts)
          this.send({ type: 'placement', deployment, artifact, state: 'ready' })
        break
      case 'cancel':
        this.cancelled.push({ jobId: frame.jobId, epoch: frame.epoch })
        break
      case 'ack':
        this.acks.push(frame)
        break
      case 'assign': {
        this.assigned.push(frame)
        this.events.emit('assign', frame)
        const answer = (await this.options.onAssign?.(frame, body)) ?? null
        if (answer !== null) this.result(frame, answer)
        return
      }
    }
    this.events.emit(frame.type, frame)
  }

  result(job: JobRef, answer: NonNullable<Answer>): void {
    this.send({ type: 'result', jobId: job.jobId, epoch: job.epoch, ...answer.frame }, answer.body)
  }

  send(frame: AgentFrame, body?: Uint8Array[]): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(encodeFrame(frame, body))
  }

  get connected(): boolean {
    return this.#socket?.readyState === WebSocket.OPEN
  }

  /** Cuts the connection, as a device that lost power would. */
  cut(): void {
    this.#socket?.terminate()
  }

  async close(): Promise<void> {
    if (this.#socket === null || this.#socket.readyState === WebSocket.CLOSED) return
    const closed = once(this.events, 'closed')
    this.#socket.terminate()
    await closed
  }
}
