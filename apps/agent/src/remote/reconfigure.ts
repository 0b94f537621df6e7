import type { RuntimeInfo } from '@skerry/contracts'
import type { Lane } from '../lane.ts'
import type { Reconciler } from '../reconciler.ts'
import type { RuntimeHost } from '../runtime-host.ts'
import type { WorkGate } from '../system/work-gate.ts'
import type { RunningConfig } from './decide-config.ts'

export type Reconfigured = {
  lane: Lane
  gate: WorkGate
  host: RuntimeHost
  reconciler: Reconciler
  /** What the hello said is no longer true. */
  tellFacts: () => void
}

/**
 * Carries out a change without losing work: slots and limits count for the next job, and what runs in a process with
 * other threads ends there while its models load in a new one. Another runtime comes with the next `desired`.
 */
export function reconfigure(
  { lane, gate, host, reconciler, tellFacts }: Reconfigured,
  before: RunningConfig,
  after: RunningConfig,
  runtimes: RuntimeInfo[] | null
): void {
  const { slots, threads, minFreeMemoryBytes, maxTemperatureC, minBatteryPercent } = after
  if (slots !== before.slots) {
    lane.resize(slots)
    host.setProcesses(slots)
  }
  gate.setLimits({ minFreeMemoryBytes, maxTemperatureC, minBatteryPercent })
  if (threads !== before.threads) {
    host.setThreads(threads)
    reconciler.reload(`Its runtime starts again, with ${threads} ${threads === 1 ? 'thread' : 'threads'}.`)
  }
  if (runtimes !== null) host.keepOnly(runtimes.map(({ name }) => name))
  if (slots !== before.slots || runtimes !== null) tellFacts()
}
