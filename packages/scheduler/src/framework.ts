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
import type { PairProfile } from './profiles/pair-profiles.ts'
import type { Candidate } from './scores/candidate.ts'
import type { Weights } from './scores/weights.ts'

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

/** `least`: on the value with the fewest, of those that a device carries; infinite where none does. */
export type PlacedByValue = { readonly least: number; on(value: string): number }

/** What filters may know beside the work and the device. */
export type FilterContext = {
  /** Why a runtime cannot run these operators, or null. */
  operatorSupport: (runtime: RuntimeInfo, operators: readonly Operator[]) => string | null
  /** Work of the request's spread group that is placed, by value of the label. */
  placedByValue: PlacedByValue
  limits: { temperatureC: number; batteryPercent: number }
}

/** What an explanation knows beside: it tells the costs of those that may do the work. */
export type SchedulingContext = FilterContext & {
  /** What the scores read of the work on a device that may do it. */
  candidate: (device: DeviceSnapshot, work: WorkRequest) => Candidate
  /** What runs of the work took on that very device, null where there was none. */
  measured: (device: DeviceSnapshot, work: WorkRequest) => PairProfile | null
  /** Of the scores, where a device is chosen. */
  weights: Weights
}

/** A hard condition. `reject` answers why the device may not do the work, in words that count well, or null. */
export type Filter = {
  name: string
  /** What it reads, for docs and explanations. */
  reads: string
  reject: (work: WorkRequest, device: DeviceSnapshot, context: FilterContext) => string | null
}

/**
 * A soft preference: a cost in logarithms of time, so that 0.01 counts as one per cent more of it; lower is better. It is
 * asked often, and allocates nothing.
 */
export type Score = {
  name: string
  /** What it reads, for docs. */
  reads: string
  /** How much it counts where a device is chosen, and where work is; unless configuration says otherwise. */
  weight: { device?: number; work?: number }
  cost: (candidate: Candidate) => number
}

/** Takes what a placement needs before it is bound, and gives it back when the bind fails. */
export type Reserve = {
  name: string
  reserve: (work: WorkRequest, device: DeviceSnapshot) => boolean
  unreserve: (work: WorkRequest, device: DeviceSnapshot) => void
}

/** Makes a placement real (claims the row, sends the frame). It does I/O, so that it lives outside of this package. */
export type Bind<Result> = { name: string; bind: (work: WorkRequest, device: DeviceSnapshot) => Promise<Result> }
