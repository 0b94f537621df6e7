import type { Capability, DeviceFacts, DeviceState, Labels, Slots } from '@skerry/contracts'

/** What the scheduler needs of a device. */
export type DeviceRecord = {
  id: string
  name: string
  state: DeviceState
  labels: Labels
  taints: string[]
  capabilities: Capability[]
  facts: DeviceFacts
  slots: Slots
  cordoned: boolean
  connected: boolean
  revoked: boolean
}

/** The table's columns that make a record. */
export type DeviceRow = {
  id: string
  name: string
  labels: Labels
  /** Null as empty. */
  taints: string[] | null
  capabilities: Capability[]
  facts: DeviceFacts
  infer_slots: number
  convert_slots: number
  connected: boolean
  cordoned: boolean
  draining: boolean
  revoked_at: Date | null
}

export const RECORD_COLUMNS =
  'id, name, labels, taints, capabilities, facts, infer_slots, convert_slots, connected, cordoned, draining, revoked_at'

export function stateOf(row: Pick<DeviceRow, 'connected' | 'cordoned' | 'draining'>, revoked: boolean): DeviceState {
  if (revoked) return 'revoked'
  if (row.draining) return 'draining'
  if (row.cordoned) return 'cordoned'
  return row.connected ? 'online' : 'offline'
}

export const toRecord = (row: DeviceRow): DeviceRecord => ({
  id: row.id,
  name: row.name,
  state: stateOf(row, row.revoked_at !== null),
  labels: row.labels,
  taints: row.taints ?? [],
  capabilities: row.capabilities,
  facts: row.facts,
  slots: { infer: row.infer_slots, convert: row.convert_slots },
  cordoned: row.cordoned || row.draining,
  connected: row.connected,
  revoked: row.revoked_at !== null
})
