import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import {
  type AgentFrame,
  type ControlFrame,
  challengeText,
  type DeviceHealth,
  decodeFrame,
  encodeFrame,
  HEARTBEAT_MS,
  type RuntimeInfo,
  SUBPROTOCOL
} from '@skerry/contracts'
import { WebSocket } from 'ws'
import { rowsOf } from './databases.ts'
import type { Answer } from './simulated-device.ts'

type Assign = Extract<ControlFrame, { type: 'assign' }>

export type SimulatedFleetOptions = {
  url: string
  slots: { infer: number; convert: number }
  runtimes: RuntimeInfo[]
  answer: (assign: Assign) => NonNullable<Answer>
  onAccepted?: () => void
  /** Uniform in [0, 1). */
  random?: () => number
}

/** As a real agent waits before it tries again: full jitter below a ceiling that doubles. */
const FIRST_WAIT_MS = 250
const LONGEST_WAIT_MS = 15_000
/** As a real agent gives up on a connection that brings no welcome. */
const PATIENCE_MS = 20_000
/** Heartbeats are spread over their period in so many turns. */
const TURNS = 100

type Device = {
  id: string
  socket: WebSocket | null
  tried: number
  artifacts: number
  patience: NodeJS.Timeout | null
}

/**
 * Thousands of devices in one process, over a real socket each: they connect, say that they serve what they are told
 * to, send heartbeats, answer jobs at once, and come back by themselves as real agents do. To be cheap they share one key,
 * say the same of themselves, and remember no job.
 */
export class SimulatedFleet {
  readonly #options: SimulatedFleetOptions
  readonly #privateKey: KeyObject
  readonly #publicKey: Buffer
  readonly #devices: Device[] = []
  #connected = 0
  #serving = 0
  #beats: NodeJS.Timeout | undefined
  #stopped = true
  #awaited: { reached: () => boolean; resolve: () => void }[] = []
  /** Connections that were begun. */
  attempts = 0
  /** Frames that said why a device is not taken, by code. */
  readonly refused = new Map<string, number>()

  constructor(options: SimulatedFleetOptions) {
    this.#options = options
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    this.#privateKey = privateKey
    this.#publicKey = publicKey.export({ format: 'der', type: 'spki' })
  }

  /** Devices with a session. */
  get connected(): number {
    return this.#connected
  }

  /** Devices that said in their session that they serve something. */
  get serving(): number {
    return this.#serving
  }

  get #facts() {
    const { runtimes } = this.#options
    const sizes = { cores: 1, memoryBytes: 2 ** 30, diskFreeBytes: 2 ** 30 }
    return { arch: 'x64', os: 'linux', cpuModel: 'simulated', ...sizes, runtimes }
  }

  /** Adds devices as rows, as if they had enrolled one by one: ten thousand enrolments would take minutes. */
  async enrol(databaseUrl: string, count: number): Promise<void> {
    const { slots } = this.#options
    const rows = await rowsOf<{ id: string }>(
      databaseUrl,
      `INSERT INTO devices (id, name, public_key, taints, capabilities, facts, infer_slots, convert_slots)
       SELECT gen_random_uuid(), 'simulated-' || i, $1, '{}', '{infer}', $2, $3, 0
       FROM generate_series($4::int, $5::int) AS i RETURNING id`,
      [this.#publicKey, this.#facts, slots.infer, this.#devices.length + 1, this.#devices.length + count]
    )
    for (const { id } of rows) this.#devices.push({ id, socket: null, tried: 0, artifacts: 0, patience: null })
  }

  /** Opens all connections at once; they are made again whenever one ends, until `stop`. */
  start(): void {
    this.#stopped = false
    let turn = 0
    this.#beats = setInterval(() => {
      turn = (turn + 1) % TURNS
      const health: DeviceHealth = { cpuPercent: 5, memoryUsedBytes: 2 ** 28, rssBytes: 2 ** 26, at: now() }
      const frame = encodeFrame({ type: 'heartbeat', health })
      for (let i = turn; i < this.#devices.length; i += TURNS) {
        const { socket, patience } = this.#devices[i] as Device
        // Without patience there is no session yet, or no more.
        if (patience === null && socket?.readyState === WebSocket.OPEN) socket.send(frame)
      }
    }, HEARTBEAT_MS / TURNS)
    for (const device of this.#devices) this.#connect(device)
  }

  /** Resolves once so many devices have a session, and said what they serve where they were told to. */
  whenServing(devices: number): Promise<void> {
    return this.#when(() => this.#serving >= devices)
  }

  whenConnected(devices: number): Promise<void> {
    return this.#when(() => this.#connected >= devices)
  }

  whenGone(): Promise<void> {
    return this.#when(() => this.#connected === 0)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#beats)
    for (const { socket, patience } of this.#devices) {
      if (patience !== null) clearTimeout(patience)
      socket?.terminate()
    }
    await this.whenGone()
  }

  #connect(device: Device): void {
    if (this.#stopped) return
    this.attempts += 1
    const url = `${this.#options.url.replace('http', 'ws')}/agent/v1`
    const socket = new WebSocket(url, SUBPROTOCOL, { perMessageDeflate: false })
    device.socket = socket
    device.patience = setTimeout(() => socket.terminate(), PATIENCE_MS)
    let inSession = false
    socket.on('message', (data: Buffer, isBinary: boolean) => {
      const frame = decodeFrame(data, isBinary).header as ControlFrame
      if (frame.type === 'welcome') {
        inSession = true
        device.tried = 0
        clearTimeout(device.patience ?? undefined)
        device.patience = null
        this.#connected += 1
      }
      this.#onFrame(device, socket, frame)
      this.#look()
    })
    // The close that follows tells of it.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearTimeout(device.patience ?? undefined)
      if (inSession) this.#connected -= 1
      if (device.artifacts > 0) this.#serving -= 1
      Object.assign(device, { socket: null, artifacts: 0 })
      this.#look()
      const ceilingMs = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** Math.min(device.tried, 10))
      device.tried += 1
      const { random = Math.random } = this.#options
      if (!this.#stopped) setTimeout(() => this.#connect(device), random() * ceilingMs)
    })
  }

  #onFrame(device: Device, socket: WebSocket, frame: ControlFrame): void {
    const say = (answer: AgentFrame, body?: Uint8Array[]): void => socket.send(encodeFrame(answer, body))
    switch (frame.type) {
      case 'challenge': {
        const text = Buffer.from(challengeText(frame.nonce, device.id))
        const signature = sign(null, text, this.#privateKey).toString('base64')
        const { slots } = this.#options
        const said = { capabilities: ['infer' as const], slots, facts: this.#facts, holding: [] }
        say({ type: 'hello', deviceId: device.id, signature, ...said })
        return
      }
      case 'desired': {
        for (const { deployment, artifact } of frame.artifacts)
          say({ type: 'placement', deployment, artifact, state: 'ready' })
        this.#serving += Number(frame.artifacts.length > 0) - Number(device.artifacts > 0)
        device.artifacts = frame.artifacts.length
        return
      }
      case 'refused':
        this.refused.set(frame.code, (this.refused.get(frame.code) ?? 0) + 1)
        return
      case 'assign': {
        const { frame: result, body } = this.#options.answer(frame)
        say({ type: 'result', jobId: frame.jobId, epoch: frame.epoch, ...result }, body)
        return
      }
      case 'ack':
        if (frame.status === 'accepted') this.#options.onAccepted?.()
    }
  }

  #when(reached: () => boolean): Promise<void> {
    if (reached()) return Promise.resolve()
    return new Promise((resolve) => this.#awaited.push({ reached, resolve }))
  }

  #look(): void {
    if (this.#awaited.length === 0) return
    const [due, left] = [
      this.#awaited.filter((each) => each.reached()),
      this.#awaited.filter((each) => !each.reached())
    ]
    this.#awaited = left
    for (const { resolve } of due) resolve()
  }
}

const now = (): string => new Date().toISOString()
