import type { Filter } from '../framework.ts'

/** Reads temperature and throttling of the last heartbeat. */
export const heatFilter: Filter = {
  name: 'heat',
  reads: 'device.health.temperatureC, device.health.throttled',
  reject: (_, { health }, { limits }) => {
    if (health?.throttled === true) return 'throttled'
    return health?.temperatureC !== undefined && health.temperatureC > limits.temperatureC ? 'too hot' : null
  }
}
