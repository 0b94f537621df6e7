import type {
  Capability,
  DeviceHealth,
  DeviceState,
  Labels,
  Operator,
  PlacementState,
  RuntimeInfo,
  Selector
} from '@skerry/contracts'
import type { LatencyPrediction } from './profiles/latency-model.ts'

/** What filters and scores may know of a device; a snapshot, never changed by them. */
export type DeviceSnapshot = {
  id: string
  state: DeviceState
  labels: Labels
  /** `key`, `key=value`, each optionally followed by `:Effect`, which is not read: every taint keeps work away. */
  taints: readonly string[]
  capabilities: readonly Capability[]
  runtimes: readonly RuntimeInfo[]
  memoryBytes: number
  diskFreeBytes: number
  health: DeviceHealth | null
  /** Percent left, null on mains. */
  batteryPercent: number | null
  /** Artifacts here, by sha256. */
  artifacts: ReadonlyMap<string, 'on-disk' | 'loaded'>
  /** What should be served here, by deployment. */
  placements: ReadonlyMap<string, { state: PlacementState; reason?: string }>
  freeSlots: number
  /** Watts while it works, null where unknown. */
  watts: number | null
  /** Runs since the device was enrolled, and bytes written to its flash. */
  runs: number
  writtenBytes: number
}

export type Artifact = {
  sha256: string
  bytes: number
  /** Of its runtime process while it runs it. */
  memoryBytes: number
  operators: readonly Operator[]
  signatureTrusted: boolean
}

export type WorkRequest = {
  id: string
  model: string | null
  capability: Capability
  targetDeviceId: string | null
  /** What the device must serve, or null. */
  deployment: string | null
  selector: Selector
  tolerations: readonly string[]
  /** At most `maxSkew` more of the group on one value of the label than on the least used one. */
  spread: { label: string; maxSkew: number } | null
  artifact: Artifact | null
}

export type SchedulingContext = {
  /** Why a runtime cannot run these operators, or null. */
  operatorSupport: (runtime: RuntimeInfo, operators: readonly Operator[]) => string | null
  /** Work of the request's spread group that is placed, by value of the label; every value a device carries is a key. */
  placedByLabelValue: ReadonlyMap<string, number>
  limits: { temperatureC: number; batteryPercent: number }
  /** Of the work on this device, a cold start apart. */
  predict: (device: DeviceSnapshot, work: WorkRequest) => LatencyPrediction
  /** Milliseconds until the device is free. */
  workAheadMs: (device: DeviceSnapshot) => number
  /** Parts of a cold start; zero where nothing is to be done. */
  coldStart: (device: DeviceSnapshot, artifact: Artifact) => { transferMs: number; loadMs: number; firstRunMs: number }
  /** Share of the model's requests that failed lately, and of all. */
  failedShare: (model: string | null) => { own: number; all: number }
}

/** A hard condition. `reject` answers why the device may not do the work, in words that count well, or null. */
export type Filter = {
  name: string
  /** What it reads, for docs and explanations. */
  reads: string
  reject: (work: WorkRequest, device: DeviceSnapshot, context: SchedulingContext) => string | null
}

/** A soft preference: a cost in milliseconds' worth; lower is better. Weights come from configuration. */
export type Score = {
  name: string
  reads: string
  cost: (work: WorkRequest, device: DeviceSnapshot, context: SchedulingContext) => number
}

/** Takes what a placement needs before it is bound, and gives it back when the bind fails. */
export type Reserve = {
  name: string
  reserve: (work: WorkRequest, device: DeviceSnapshot) => boolean
  unreserve: (work: WorkRequest, device: DeviceSnapshot) => void
}

/** Makes a placement real (claims the row, sends the frame). It does I/O, so that it lives outside of this package. */
export type Bind<Result> = { name: string; bind: (work: WorkRequest, device: DeviceSnapshot) => Promise<Result> }
