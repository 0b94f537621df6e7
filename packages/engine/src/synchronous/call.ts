import type { ResultFrame } from '@skerry/contracts'
import type { InferencePayload } from '@skerry/registry'
import type { PlacedJob } from '../scheduling/work.ts'

/** A synchronous inference, in one of its lives: a call has no row, and each time that it is tried again is the next epoch. */
export type CallRef = { id: string; epoch: number }

/** What its pool carries of a call, instead of a row; its inline tensors lie in `JobQueue.bodies` under its id. */
export type CallTicket = {
  /** The replica that a caller waits at. */
  origin: string
  terms: Omit<PlacedJob, 'id' | 'epoch'>
  payload: InferencePayload
}

export const isTicket = (data: unknown): data is CallTicket => data !== null && 'origin' in Object(data)

/** What goes with a call's frame to the replica that holds the device's socket, so that it knows who waits. */
export type CallRoute = { origin: string; variant: string | null }

/** What a device said, with what the replica that holds its socket knows of the attempt. */
export type CallResult = {
  call: CallRef
  device: string
  variant: string | null
  frame: ResultFrame
  /** From the decision to the frame, and from the frame to its result. */
  dispatchMs: number
  roundTripMs: number
}
