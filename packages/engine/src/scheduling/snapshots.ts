import type { DeviceState } from '@skerry/contracts'
import type { DeviceSnapshot } from '@skerry/scheduler'
import { freeSlots, type Session, type Slot } from '../devices/fleet.ts'

type Placements = DeviceSnapshot['placements']

/** A connected device as filters and scores see it. */
export function snapshotOf(session: Session, slot: Slot, placements?: Placements): DeviceSnapshot {
  const { facts, health } = session
  return {
    id: session.deviceId,
    state: session.state,
    labels: session.labels,
    taints: session.taints,
    capabilities: session.capabilities,
    runtimes: facts.runtimes,
    memoryBytes: facts.memoryBytes,
    diskFreeBytes: health?.diskFreeBytes ?? facts.diskFreeBytes,
    health,
    // A device judges its own battery, and says so in `health.refusing`.
    batteryPercent: null,
    artifacts: new Map([...session.ready.values()].map(({ artifact }) => [artifact, 'loaded' as const])),
    placements: placements ?? readyPlacements(session),
    freeSlots: freeSlots(session)[slot]
  }
}

/** A device that is away: enough for an explanation to count it, since its state alone keeps it from all work. */
export const absentSnapshot = (id: string, state: DeviceState): DeviceSnapshot => ({
  id,
  state: state === 'online' ? 'offline' : state,
  labels: {},
  taints: [],
  capabilities: [],
  runtimes: [],
  memoryBytes: 0,
  diskFreeBytes: 0,
  health: null,
  batteryPercent: null,
  artifacts: new Map(),
  placements: new Map(),
  freeSlots: 0
})

const readyPlacements = (session: Session): Placements =>
  new Map([...session.ready.keys()].map((deployment) => [deployment, { state: 'ready' as const }]))
