import type { ControlFrame } from '@skerry/contracts'
import { type Assignment, type DeviceLink, jobKey } from '../devices/fleet.ts'
import type { ToHolder } from './messages.ts'

/** Hands a message to the replica that holds the device's socket; answers its number, 0 within this process. */
export type Forward = (message: ToHolder, body?: readonly Uint8Array[]) => number

/** The scheduler's way to a device, wherever its socket is. */
export class HolderLink implements DeviceLink {
  readonly #forward: Forward
  readonly #of: { term: number; deviceId: string; session: number }
  readonly #nowMs: () => number
  /** With which message each job went that occupies a slot there; 0: the holder told of it itself. */
  readonly #sent = new Map<string, number>()

  constructor(
    of: { term: number; deviceId: string; session: number; running: Iterable<string> },
    forward: Forward,
    nowMs: () => number
  ) {
    const { running, ...rest } = of
    this.#of = rest
    this.#forward = forward
    this.#nowMs = nowMs
    for (const key of running) this.#sent.set(key, 0)
  }

  send(frame: ControlFrame, body?: readonly Uint8Array[], assignment?: Assignment): void {
    const { claimedAtMs, ...rest } = assignment ?? {}
    const timing = claimedAtMs === undefined ? {} : { dispatchMs: this.#nowMs() - claimedAtMs }
    const number = this.#forward({ type: 'frame', ...this.#of, frame, ...timing, ...rest }, body)
    if (frame.type === 'assign') this.#sent.set(jobKey(frame.jobId, frame.epoch), number)
  }

  close(reason: string): void {
    this.#forward({ type: 'close', ...this.#of, reason })
  }

  released(key: string): void {
    this.#sent.delete(key)
  }

  /** The holder, which had heard the scheduler's messages up to that number, names what it knows to run there. */
  confirm(running: Iterable<string>, heard: number): void {
    for (const [key, number] of this.#sent) if (number <= heard) this.#sent.delete(key)
    for (const key of running) this.#sent.set(key, 0)
  }

  /** Whether a job that the holder does not name may still be on its way there, or is being claimed. */
  mayBeUnderWay(key: string, heard: number): boolean {
    const number = this.#sent.get(key)
    return number === undefined || number > heard
  }
}
