import type { Capability, ControlFrame, DeviceFacts, DeviceHealth, DeviceState, Labels, Slots } from '@skerry/contracts'
import type { EndedEarly } from '@skerry/registry'
import type { ServedArtifact } from '@skerry/scheduler'
import type { Release, Slot } from '../devices/fleet.ts'
import type { CallRef, CallResult, CallRoute } from '../synchronous/call.ts'

/** What the replica that holds a device's socket knows of the device: all that the scheduler needs to begin with. */
export type ConnectionState = {
  deviceId: string
  name: string
  session: number
  state: DeviceState
  labels: Labels
  taints: readonly string[]
  capabilities: readonly Capability[]
  facts: DeviceFacts
  slots: Slots
  health: DeviceHealth | null
  /** By `jobKey`. */
  running: [key: string, slot: Slot][]
  ready: [deployment: string, served: ServedArtifact][]
}

type OfSession = { deviceId: string; session: number }

/** From the replica that holds a socket, or that a caller asked, to the one that schedules. */
export type ToScheduler =
  /** `changed`: what decides what it should serve is not what it was in its last session. */
  | { type: 'connected'; connection: ConnectionState; changed?: boolean }
  | ({ type: 'disconnected' } & OfSession)
  | { type: 'released'; session: number; release: Release }
  | ({ type: 'health'; health: DeviceHealth } & OfSession)
  | ({ type: 'facts'; slots: Slots; facts: DeviceFacts; changed?: boolean } & OfSession)
  /** A benchmark's median there, and of how many runs it is. */
  | ({ type: 'measured'; artifact: string; runtime: string; p50Ms: number; runs: number } & OfSession)
  | ({ type: 'placement'; deployment: string; served: ServedArtifact | null } & OfSession)
  /** All connections of a replica, in parts; `heard`: up to which of the scheduler's messages they are the outcome. */
  | { type: 'announcement'; term: number; heard: number; connections: ConnectionState[]; last: boolean }
  | { type: 'wake'; pools: string[] }
  | { type: 'reconcile'; deployment: string | null }
  /** What decides what these devices should serve has changed: their labels, or what was measured on them. */
  | { type: 'reconcile-devices'; devices: string[] }
  | { type: 'deployment-deleted'; deployment: string; devices: string[] }
  | { type: 'ended-early'; jobs: EndedEarly[] }
  /** Nobody waits for its answer any more. */
  | ({ type: 'call-ended' } & CallRef)
  /** What an earlier scheduler wrote last may not have reached its devices. */
  | { type: 'verify' }
  /** Says nothing but its number, so that a lost message before it is noticed. */
  | { type: 'alive' }

/** From the scheduler to the replica that holds a device's socket. */
export type ToHolder =
  | ({ type: 'frame'; term: number; frame: ControlFrame; dispatchMs?: number; call?: CallRoute } & OfSession)
  | ({ type: 'close'; term: number; reason: string } & OfSession)
  | { type: 'announce'; term: number }

/** From any replica to the one that holds a device's socket. */
export type ToDevice =
  /** The device opened that session elsewhere. */
  | ({ type: 'superseded' } & OfSession)
  | { type: 'device-frame'; deviceId: string; frame: ControlFrame }
  | { type: 'device-close'; deviceId: string; reason: string }

/** To the replica that a caller waits at. */
export type ToOrigin =
  /** What a device said of a call; the frame's tensors are the message's body. */
  | ({ type: 'call-result' } & CallResult)
  /** These came to nothing, for no fault of theirs. */
  | { type: 'calls-lost'; calls: CallRef[]; reason: string }

/** To all. */
export type ToAll =
  | { type: 'joined' }
  | { type: 'scheduling'; term: number }
  | { type: 'vacant' }
  /** Jobs and diagnostics that somebody may wait for. */
  | { type: 'ended'; ids: string[] }
  | { type: 'serving-changed' }

export type Question = { type: 'ask'; id: number; name: string; payload: unknown }
export type QuestionAnswer = { type: 'answer'; id: number; value?: unknown; error?: string }

export type ClusterMessage = ToScheduler | ToHolder | ToDevice | ToOrigin | ToAll | Question | QuestionAnswer
