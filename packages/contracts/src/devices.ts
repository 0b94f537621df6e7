import type { Static } from 'typebox'
import { BenchmarkResult, RuntimeBenchmark } from './benchmarks.ts'
import { RuntimeInfo, RuntimeName } from './runtimes.ts'
import { Id, Labels, Name, PageQuery, Sha256, Timestamp } from './schema.ts'
import { Type } from './type.ts'

export const Capability = Type.Enum(['infer', 'convert'])
export type Capability = Static<typeof Capability>

export const JoinTokenRequest = Type.Object(
  {
    labels: Type.Optional(Labels),
    capabilities: Type.Optional(Type.Array(Capability, { minItems: 1 })),
    ttlMs: Type.Optional(Type.Integer({ minimum: 1000, maximum: 30 * 86_400_000, default: 3_600_000 })),
    uses: Type.Optional(Type.Integer({ minimum: 1, maximum: 100_000, default: 1 }))
  },
  { additionalProperties: false }
)
export type JoinTokenRequest = Static<typeof JoinTokenRequest>
export const JoinToken = Type.Object({
  id: Id,
  token: Type.String(),
  expiresAt: Timestamp,
  urls: Type.Optional(
    Type.Array(Type.String(), { description: 'Where devices reach this control plane, loopback last' })
  )
})
export type JoinToken = Static<typeof JoinToken>

export const DeviceFacts = Type.Object({
  arch: Type.String(),
  os: Type.String(),
  cpuModel: Type.String(),
  cores: Type.Integer(),
  memoryBytes: Type.Integer(),
  diskFreeBytes: Type.Integer(),
  runtimes: Type.Array(RuntimeInfo),
  agentVersion: Type.Optional(Type.String()),
  understands: Type.Optional(
    Type.Array(Type.String({ maxLength: 32 }), { description: 'Later parts of the protocol that the agent knows' })
  ),
  unavailableRuntimes: Type.Optional(
    Type.Array(Type.Object({ name: RuntimeName, reason: Type.String({ maxLength: 2000 }) }), {
      description: 'Those that were tried and do not start there'
    })
  ),
  converterStamp: Type.Optional(
    Type.String({ maxLength: 64, description: 'Equal where the same source and recipe give the same result' })
  ),
  benchmark: Type.Optional(
    Type.Array(RuntimeBenchmark, { maxItems: 16, description: 'Each runtime that starts there, the fastest first' })
  )
})
export type DeviceFacts = Static<typeof DeviceFacts>

export const DeviceHealth = Type.Object({
  cpuPercent: Type.Number(),
  memoryUsedBytes: Type.Integer(),
  temperatureC: Type.Optional(Type.Number()),
  throttled: Type.Optional(Type.Boolean()),
  undervoltage: Type.Optional(Type.Boolean()),
  watts: Type.Optional(Type.Number({ minimum: 0, description: 'Power that the machine draws, where it can tell' })),
  rssBytes: Type.Integer(),
  diskFreeBytes: Type.Optional(Type.Integer()),
  loadAverage: Type.Optional(Type.Number()),
  eventLoopLagMs: Type.Optional(Type.Number({ description: "The agent's longest since the last heartbeat" })),
  queueDepth: Type.Optional(Type.Integer({ description: 'Jobs and local requests that wait for a slot' })),
  downloadBytesPerSecond: Type.Optional(
    Type.Integer({ description: 'From the control plane, smoothed over the last transfers' })
  ),
  firstByteMs: Type.Optional(
    Type.Number({ description: 'From asking the control plane for a file to its first byte' })
  ),
  refusing: Type.Optional(Type.String({ maxLength: 400, description: 'Why the device takes no work now' })),
  at: Timestamp
})
export type DeviceHealth = Static<typeof DeviceHealth>

export const Slots = Type.Object({ infer: Type.Integer({ minimum: 0 }), convert: Type.Integer({ minimum: 0 }) })
export type Slots = Static<typeof Slots>

export const PLACEMENT_STATES = [
  'pending',
  'fetching',
  'verifying',
  'loading',
  'checking',
  'ready',
  'failed',
  'ineligible'
] as const
export const PlacementState = Type.Enum([...PLACEMENT_STATES])
export type PlacementState = Static<typeof PlacementState>

export const DeviceState = Type.Enum(['online', 'offline', 'cordoned', 'draining', 'revoked'])
export type DeviceState = Static<typeof DeviceState>

export const Device = Type.Object({
  id: Id,
  name: Type.String(),
  state: DeviceState,
  labels: Labels,
  taints: Type.Array(Type.String()),
  capabilities: Type.Array(Capability),
  facts: DeviceFacts,
  capacity: Type.Object({
    slots: Type.Integer(),
    convertSlots: Type.Integer(),
    benchmark: Type.Optional(Type.Array(RuntimeBenchmark, { description: 'The standard benchmark, the fastest first' }))
  }),
  health: Type.Union([DeviceHealth, Type.Null()]),
  models: Type.Array(
    Type.Object({
      artifact: Sha256,
      deployment: Type.String(),
      variant: Type.String(),
      state: PlacementState,
      benchmark: Type.Optional(BenchmarkResult)
    })
  ),
  keySha256: Type.Optional(
    Type.String({ description: "Of the device's public key (SPKI DER): another one after its key was rotated" })
  ),
  lastSeenAt: Type.Union([Timestamp, Type.Null()])
})
export type Device = Static<typeof Device>

export const DeviceQuery = Type.Intersect([
  PageQuery,
  Type.Object({
    state: Type.Optional(DeviceState),
    label: Type.Optional(Type.String({ description: 'key=value' })),
    capability: Type.Optional(Capability)
  })
])
export type DeviceQuery = Static<typeof DeviceQuery>

export const DevicePatch = Type.Object(
  {
    name: Type.Optional(Name),
    labels: Type.Optional(Labels),
    taints: Type.Optional(Type.Array(Type.String({ maxLength: 128 }), { maxItems: 64 }))
  },
  { additionalProperties: false, minProperties: 1 }
)
export type DevicePatch = Static<typeof DevicePatch>
