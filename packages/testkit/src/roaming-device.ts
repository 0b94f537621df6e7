import type { ControlFrame, JobRef } from '@skerry/contracts'
import { type Answer, SimulatedDevice, type SimulatedDeviceOptions } from './simulated-device.ts'

type Assign = Extract<ControlFrame, { type: 'assign' }>

export type RoamingDeviceOptions = Omit<SimulatedDeviceOptions, 'url' | 'onAssign'> & {
  /** It goes from one to the next when a connection ends or cannot be made. */
  urls: string[]
  /** How long each job takes there. */
  serviceMs: number
  answer: (assign: Assign, body: Uint8Array) => NonNullable<Answer>
}

const CONNECT_WITHIN_MS = 3_000
const PAUSE_MS = 100
const keyOf = ({ jobId, epoch }: JobRef): string => `${jobId}-${epoch}`

/**
 * A simulated device that comes back by itself, to whichever control plane takes it, with what it holds: it goes on with its
 * jobs meanwhile, and says their results until they are acknowledged, as a real agent does. It counts what it is given.
 */
export class RoamingDevice {
  readonly device: SimulatedDevice
  readonly #options: RoamingDeviceOptions
  readonly #running = new Map<string, { ref: JobRef; stop: () => void }>()
  readonly #unacknowledged = new Map<string, { ref: JobRef; answer: NonNullable<Answer> }>()
  #at = 0
  #stopped = false
  #roaming: Promise<void> = Promise.resolve()
  /** The most jobs that it was given at one time: more than its slots when it was oversold. */
  mostAtOnce = 0
  connections = 0

  constructor({ urls, serviceMs, answer, ...rest }: RoamingDeviceOptions) {
    this.#options = { urls, serviceMs, answer, ...rest }
    this.device = new SimulatedDevice({
      ...rest,
      url: urls[0] ?? '',
      onAssign: (assign, body) => {
        this.#begin(assign, answer(assign, body))
        return null
      }
    })
    this.device.events.on('ack', (ack: JobRef) => this.#unacknowledged.delete(keyOf(ack)))
    this.device.events.on('cancel', (ref: JobRef) => {
      this.#running.get(keyOf(ref))?.stop()
      const error = { code: 'cancelled', message: 'The job was cancelled.', retryable: false }
      if (this.#running.has(keyOf(ref))) this.#end(ref, { frame: { error } })
    })
  }

  /** Resolves once it is connected for the first time. */
  async start(): Promise<void> {
    await this.#connect()
    this.#roaming = this.#roam()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    for (const { stop } of this.#running.values()) stop()
    await this.device.close()
    await this.#roaming
  }

  get atOnce(): number {
    return this.#running.size
  }

  async #roam(): Promise<void> {
    while (!this.#stopped) {
      if (this.device.connected) await new Promise((resolve) => this.device.events.once('closed', resolve))
      if (this.#stopped) return
      this.#at = (this.#at + 1) % this.#options.urls.length
      this.device.url = this.#options.urls[this.#at] ?? ''
      await this.#connect().catch(() => this.device.close())
      if (!this.device.connected) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
    }
  }

  async #connect(): Promise<void> {
    this.device.holding = [...this.#running.values(), ...this.#unacknowledged.values()].map(({ ref }) => ({
      jobId: ref.jobId,
      epoch: ref.epoch
    }))
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error('no welcome came')), CONNECT_WITHIN_MS)
    })
    try {
      await Promise.race([this.device.connect(), late])
    } finally {
      clearTimeout(timer)
    }
    this.connections += 1
    for (const { ref, answer } of this.#unacknowledged.values()) this.device.result(ref, answer)
  }

  #begin(ref: JobRef, answer: NonNullable<Answer>): void {
    const timer = setTimeout(() => this.#end(ref, answer), this.#options.serviceMs)
    this.#running.set(keyOf(ref), { ref, stop: () => clearTimeout(timer) })
    this.mostAtOnce = Math.max(this.mostAtOnce, this.#running.size)
  }

  #end({ jobId, epoch }: JobRef, answer: NonNullable<Answer>): void {
    const ref = { jobId, epoch }
    this.#running.delete(keyOf(ref))
    this.#unacknowledged.set(keyOf(ref), { ref, answer })
    this.device.result(ref, answer)
  }
}
