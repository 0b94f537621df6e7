import type { Filter } from '../framework.ts'

/** Reads the device's state, and the job's target device. */
export const stateFilter: Filter = {
  name: 'state',
  reads: 'device.state, work.targetDeviceId',
  reject: (work, device) => {
    if (work.targetDeviceId !== null && work.targetDeviceId !== device.id) return 'not the device that the job names'
    return device.state === 'online' ? null : device.state
  }
}
