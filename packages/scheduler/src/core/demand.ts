import type { Queued } from './deadline-queue.ts'

export type Demand = {
  /** Equal for work that the same devices can do: pool, selector, tolerations, target. */
  key: string
  /** Where it comes from; shares the heap's room with the other pools. Without one the key is its pool. */
  pool?: string
  /** Column of the latency model. Work that has no artifact (a conversion) has a column of its own. */
  artifact: number
  /** The one device that may do it, where the job names it: its line then costs nothing for all other devices. */
  device?: number
  /** The hard filters' verdict; asked once per device, and again when `deviceChanged` says so. */
  admits: (device: number) => boolean
}
export const poolOf = ({ pool, key }: Demand): string => pool ?? key

/** Highest `priority` first, then the earliest deadline, then the lowest `order` (age). */
export type PendingWork = Queued & { id: string; demand: Demand; priority: number; submittedAtMs: number }
export type Placement = { work: PendingWork; device: number; predictedFinishMs: number }
