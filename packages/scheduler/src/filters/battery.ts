import type { Filter } from '../framework.ts'

/** Reads the battery, and whether the device itself refuses work now (short of memory, hot, low), with its reason. */
export const batteryFilter: Filter = {
  name: 'battery',
  reads: 'device.batteryPercent, device.health.refusing',
  reject: (_, { batteryPercent, health }, { limits }) => {
    if (health?.refusing !== undefined) return health.refusing
    return batteryPercent !== null && batteryPercent < limits.batteryPercent ? 'battery is low' : null
  }
}
