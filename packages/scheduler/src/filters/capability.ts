import type { Filter } from '../framework.ts'

/** Reads what the device was enrolled for. */
export const capabilityFilter: Filter = {
  name: 'capability',
  reads: 'device.capabilities, work.capability',
  reject: ({ capability }, { capabilities }) =>
    capabilities.includes(capability) ? null : `cannot ${capability === 'infer' ? 'infer' : 'convert'}`
}
